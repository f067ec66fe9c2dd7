"""What accelerators can do at most, and the share of it that training uses (MFU)."""

from hornet_jax.cost.accounting import stage_costs
from hornet_jax.cost.chips import CHIPS
from hornet_jax.models import HorNet

# `device_kind` in JAX -> dense bf16 FLOP/s of one JAX device, which is half a chip of a TPU v3
# and a whole one of the others. What is not here has no MFU.
# Source: "peak compute per chip" in cloud.google.com/tpu/docs/v3 and v4; `CHIPS`; NVIDIA's
# data sheets of A100, H100 and H200 (SXM), halved where they count sparsity. The names are those
# of jax/_src/pallas/mosaic/tpu_info.py and of CUDA.
PEAK_FLOPS = {
  "TPU v3": 123e12 / 2,
  "TPU v4": 275e12,
  **dict.fromkeys(["TPU v5 lite", "TPU v5e"], 1e12 * CHIPS["v5e"].tflops),
  **dict.fromkeys(["TPU v5", "TPU v5p"], 1e12 * CHIPS["v5p"].tflops),
  **dict.fromkeys(["TPU v6 lite", "TPU v6e"], 1e12 * CHIPS["v6e"].tflops),
  "NVIDIA A100-SXM4-40GB": 312e12,
  "NVIDIA A100-SXM4-80GB": 312e12,
  "NVIDIA H100 80GB HBM3": 989e12,
  "NVIDIA H200": 989e12,
}


def peak_training_rate(
  model: HorNet, image_size: int, device_kind: str, num_devices: int
) -> float | None:
  """Images a second of training at which the devices would do all the FLOPs that they can.

  Model FLOPs utilisation is the measured rate over this one: 3 * 2 * MACs * images/s /
  (devices * peak). Three, as the backward pass costs two forward passes; two, as a
  multiply-accumulate is two FLOPs. What is computed again to save memory does not count,
  nor do norms, gates and Fourier transforms (`StageCost.macs`). The peak is that of
  bf16, whatever `model.dtype`.

  Source: PaLM, arXiv 2204.02311, section 4.1 and appendix B, for the term.

  Args:
    model: the architecture, all of it trained.
    image_size: side of the images, in pixels.
    device_kind: as JAX names it.
    num_devices: JAX devices.

  Returns:
    None where the peak of the kind is not known.
  """
  peak = PEAK_FLOPS.get(device_kind)
  if peak is None:
    return None
  macs = sum(stage.macs for stage in stage_costs(model, image_size))
  return num_devices * peak / (3 * 2 * macs)
