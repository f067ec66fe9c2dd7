"""This module lists the TPUs that can be planned for, and the peaks of accelerators."""

import dataclasses
import itertools
import math
import re

from hornet_jax.errors import InputError, unknown_name


@dataclasses.dataclass(frozen=True)
class Chip:
  """A `Chip` describes one chip of a TPU generation, as the vendor states it.

  Attributes:
    tflops: peak of the matrix units in bfloat16, TFLOP/s.
    vector_tflops: peak of the vector units, TFLOP/s, see `CHIPS`.
    hbm_gib: memory that a program can have, GiB, as the compiler counts it.
    hbm_gbps: bandwidth of that memory, GB/s.
    link_gbps: bandwidth of one link to another chip in one direction, GB/s.
    links: number of links of each chip, two for each axis of the torus.
    clock_ghz: clock of the compute units, GHz, see `CHIPS`.
    accelerator_type: Cloud TPU's name of a slice, with `{}` for its chips times `cores`.
    cores: TensorCores that the name counts for each chip.
  """

  tflops: float
  vector_tflops: float
  hbm_gib: float
  hbm_gbps: float
  link_gbps: float
  links: int
  clock_ghz: float
  accelerator_type: str
  cores: int = 1


# Source: docs.cloud.google.com/tpu/docs/v5e, v5p and v6e, "key specifications": peak in bf16,
# bandwidth of the memory, and the interconnect's 1,600, 4,800 and 3,584 Gbit/s a chip over its 4, 6
# and 4 links, one direction (later pages give v5e's as 400 GB/s both ways, and 1,600 GB/s of memory
# and 3,200 Gbit/s for v6e). `hbm_gib` is the limit that the compiler names when it is exceeded.
# Derived: the clock, from the peak and the matrix units; the vector units' peak, as 8 * 128 lanes
# times 4 operations a cycle of each core (v5p has two).
CHIPS: dict[str, Chip] = {
  "v5e": Chip(197.0, 6.1, 15.75, 819.0, 50.0, 4, 1.5, "v5litepod-{}"),
  "v5p": Chip(459.0, 14.3, 95.73, 2765.0, 100.0, 6, 1.75, "v5p-{}", 2),
  "v6e": Chip(918.0, 7.2, 31.24, 1640.0, 112.0, 4, 1.75, "v6e-{}"),
}

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


def peak_training_rate(macs: int, device_kind: str, num_devices: int) -> float:
  """Returns the images a second of training at which the devices would reach their peak FLOP/s.

  Model FLOPs utilisation is the measured rate over this one: 3 * 2 * MACs * images/s /
  (devices * peak). Three, as the backward pass costs two forward passes; two, as a
  multiply-accumulate is two FLOPs. What is computed again to save memory does not count. The
  peak is that of bf16, whatever the model computes in.

  Source: PaLM, arXiv 2204.02311, section 4.1 and appendix B, for the term.

  Args:
    macs: multiply-accumulates of one image forward, such as `Work.macs`; all of the model is
      taken to be trained.
    device_kind: name of the kind of device in JAX, a key of `PEAK_FLOPS`.
    num_devices: number of JAX devices.
  """
  return num_devices * PEAK_FLOPS[device_kind] / (3 * 2 * macs)


@dataclasses.dataclass(frozen=True)
class Topology:
  """A topology is a slice of a TPU pod.

  Attributes:
    generation: key of `CHIPS`, such as `"v5e"`.
    sides: number of chips along each axis of the torus.
  """

  generation: str
  sides: tuple[int, ...]

  @property
  def name(self) -> str:
    """Gives the name that `parse_topology` reads, such as `v5e:16x16`."""
    return f"{self.generation}:{'x'.join(map(str, self.sides))}"

  @property
  def chip(self) -> Chip:
    """Gives the chip that the slice is made of."""
    return CHIPS[self.generation]

  @property
  def num_chips(self) -> int:
    """Counts the chips of the slice."""
    return math.prod(self.sides)

  @property
  def accelerator_type(self) -> str:
    """Gives Cloud TPU's name of the slice, such as `v5litepod-256`."""
    return self.chip.accelerator_type.format(self.num_chips * self.chip.cores)


def parse_topology(text: str) -> Topology:
  """Reads the name of a topology, such as `v5e:16x16`.

  Raises:
    InputError: if the generation is unknown, the sides are malformed or of the wrong number, or
      there is no such slice.
  """
  generation, _, sides = text.partition(":")
  if generation not in CHIPS:
    raise unknown_name("TPU", generation, CHIPS)
  if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){1,2}", sides):
    axes = CHIPS[generation].links // 2
    example = "16x16" if axes == 2 else "2x2x4"
    raise InputError(
      f"`topology` must be a TPU and the sides of its slice: expected such as "
      f"{generation}:{example}, got {text!r}."
    )
  found = Topology(generation, tuple(map(int, sides.split("x"))))
  if len(found.sides) != found.chip.links // 2:
    raise InputError(
      f"`topology` must have {found.chip.links // 2} sides for {generation}: got {text!r}."
    )
  existing = slices(generation)
  if sorted(found.sides) not in map(sorted, existing):
    near = sorted(existing, key=lambda sides: _distance(sides, found.sides))
    named = ", ".join(f"{generation}:{'x'.join(map(str, sides))}" for sides in near[:3])
    raise InputError(f"`topology` must be a slice that exists: got {text!r}. Hint: {named}.")
  return found


def _distance(sides: tuple[int, ...], others: tuple[int, ...]) -> float:
  """Returns how much the sides of two slices differ, in factors."""
  pairs = zip(sorted(sides), sorted(others), strict=True)
  return sum(abs(math.log(one / other)) for one, other in pairs)


def slices(generation: str) -> list[tuple[int, ...]]:
  """Lists the sides of every slice of a TPU generation.

  Source: docs.cloud.google.com/tpu/docs/v5e, v6e and v5p, on configurations: of v5p, beside the
  small ones, every torus of cubes of 4x4x4 up to 6,144 chips.

  Args:
    generation: key of `CHIPS`.
  """
  if CHIPS[generation].links == 4:
    return [(1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16)]
  lengths = range(4, 6144 // 16 + 1, 4)
  cubes = [
    (a, b, c)
    for a, b in itertools.combinations_with_replacement(lengths, 2)
    if a * b * b <= 6144
    for c in range(b, 6144 // (a * b) + 1, 4)
  ]
  return [(2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4), *cubes]
