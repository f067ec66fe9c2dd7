"""The model, how it is computed and how it lies on the devices."""

from hornet_jax.config.key import AT_LEAST_ONE, FRACTION, Key, operation

MODEL: dict[str, Key] = {
  "model.variant": Key("hornet_tiny_7x7", "Name of the model; `hornet info` lists them."),
  "model.fields": Key(
    "",
    "Further fields of the model, otherwise than its name says, as in Python: base_dim=24, "
    "depths=(1, 1, 3, 1).",
    before="",
  ),
  "model.patch_size": Key(4, "Side of the stem's patches, in pixels.", AT_LEAST_ONE),
  "model.drop_path_rate": Key(
    0.2, "Drop probability of the last block; it grows linearly from 0.", FRACTION
  ),
  "model.global_filter": Key(
    "dft",
    "Implementation of Fourier transforms; dft_bf16 rounds its products.",
    choices=("dft", "dft_bf16", "fft"),
  ),
  "model.dtype": Key(
    "float32", "Type of the computation; parameters are float32.", choices=("float32", "bfloat16")
  ),
  "model.scan": operation(
    True,
    "Whether the equal blocks of a stage are compiled once; on CPU false is faster.",
    before=False,
  ),
  "model.remat": operation(
    "none",
    "What is recomputed in the backward pass to save memory: nothing, all of each block, all but "
    "the outputs of linear layers (dense), or all but matrix products (dots).",
    choices=("none", "full", "dense", "dots"),
  ),
  "model.gradient_sum": Key(
    "compute",
    "Type of the gradients of linear kernels and of their sum over devices: model.dtype "
    "(compute) or float32, which sends twice as much where that is bfloat16.",
    choices=("compute", "float32"),
    official=False,  # of float32 both are one
    before="compute",
  ),
  "mesh.fsdp": operation(
    1,
    "Devices that share one copy of parameters, moments and averages, for what does not fit "
    "otherwise; 8 at most pays. The axis `data` has the rest of the devices.",
    AT_LEAST_ONE,
    before=1,
  ),
}
