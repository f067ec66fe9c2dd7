"""This module lists the TPUs that can be planned for, and the peaks of accelerators."""

import dataclasses
import itertools
import math
import re

from hornet_jax.errors import InputError, unknown_name


@dataclasses.dataclass(frozen=True)
class Chip:
  """A `Chip` describes one chip of a TPU generation; `CHIPS` names the sources.

  Attributes:
    tflops: peak of the matrix units in bfloat16, TFLOP/s.
    vector_tflops: peak of the vector units, TFLOP/s.
    hbm_gib: memory that a program can have on one JAX device, GiB, as the compiler counts it.
    hbm_gbps: bandwidth of the chip's memory, GB/s.
    link_gbps: bandwidth of one link to another chip in one direction, GB/s.
    links: number of links of each chip, two for each axis of the torus.
    clock_ghz: clock of the compute units, GHz.
    dcn_gbps: the chip's part of the data-centre network between slices, GB/s in one direction;
      None where no source states it.
    max_chips: number of chips of the largest slice.
    accelerator_type: Cloud TPU's name of a slice, with `{}` for its chips times `cores`.
    cores: TensorCores that the name counts for each chip.
    devices: JAX devices of a chip.
    chip_config: name of the compiler's setting that makes `devices` of a chip; None where that
      is the default.
  """

  tflops: float
  vector_tflops: float
  hbm_gib: float
  hbm_gbps: float
  link_gbps: float
  links: int
  clock_ghz: float
  dcn_gbps: float | None
  max_chips: int
  accelerator_type: str
  cores: int = 1
  devices: int = 1
  chip_config: str | None = None


# Sources. "The page" is docs.cloud.google.com/tpu/docs/GENERATION, read in 2026, as a search engine
# had stored it; "JAX" is the table in jax/_src/pallas/mosaic/tpu_info.py of jax 0.10. Where both
# differ the page's figure is taken. Common to all:
# - `hbm_gib`: the limit that the compiler (libtpu 0.0.52) names when a program exceeds it.
# - `link_gbps`: what the page gives for a chip both ways, over its links and two directions.
# - `clock_ghz`: no page states one. Derived as peak / (2 * multipliers), with four matrix units of
#   128x128 a core (v4, v5e, v5p) or as many multipliers as four of 256x256 (v6e, TPU7x).
# - `vector_tflops`: derived, 8 * 128 lanes times 4 operations a cycle of each core.
CHIPS: dict[str, Chip] = {
  # Page: 275 TFLOP/s, 32 GiB, 1,200 GB/s (JAX: 1,230), pods of 4,096, two cores. Links of 50 GB/s
  # and a clock of 1.05 GHz: arXiv 2304.01433, table 4; the page's 1.1 PB/s of all-reduce of a pod
  # would be 45 a link. No source for the data-centre network. One device a chip is what Cloud TPU
  # has ("megacore"); the compiler's default is two.
  "v4": Chip(
    275.0, 8.6, 30.75, 1200.0, 50.0, 6, 1.05, None, 4096, "v4-{}", 2, chip_config="megacore"
  ),
  # Page: 197 TFLOP/s, 16 GB, 819 GB/s (later versions 800, JAX 820), 400 GB/s over 4 links both
  # ways (1,600 Gbit/s one way), 6.4 Tbit/s of data-centre network a pod of 256.
  "v5e": Chip(197.0, 6.1, 15.75, 819.0, 50.0, 4, 1.5, 3.125, 256, "v5litepod-{}"),
  # Page: 459 TFLOP/s, 95 GiB, 2,765 GB/s (other versions 2,575 GiB/s, which is the same; JAX
  # 2,460), 1,200 GB/s over 6 links both ways, 50 Gbit/s of data-centre network a chip, jobs of up
  # to 6,144 chips.
  "v5p": Chip(459.0, 14.3, 95.73, 2765.0, 100.0, 6, 1.75, 6.25, 6144, "v5p-{}", 2),
  # Page of TPU7x: 918 TFLOP/s (JAX 920), 32 GiB, 1,638 GB/s (page of v6e 1,600, earlier 1,640),
  # 800 GB/s over 4 links both ways (page of v6e 3,200 Gbit/s one way, earlier 3,584), 100 Gbit/s
  # of data-centre network a chip (page of v6e 25.6 Tbit/s a pod of 256). It counts two matrix
  # units; with two of 256x256 the clock would have to be 3.5 GHz.
  "v6e": Chip(918.0, 7.2, 31.24, 1638.0, 100.0, 4, 1.75, 12.5, 256, "v6e-{}"),
  # Page: 2,307 TFLOP/s (JAX 2,310), 192 GiB, 7,380 GB/s (JAX 7,400), 1,200 GB/s over the 6 links of
  # a 3D torus both ways, 100 Gbit/s of data-centre network a chip, pods of 9,216; each of the two
  # cores is a JAX device with half the memory.
  "tpu7x": Chip(2307.0, 18.0, 94.74, 7380.0, 100.0, 6, 2.2, 12.5, 9216, "tpu7x-{}", 2, devices=2),
}

# `device_kind` in JAX -> dense bf16 FLOP/s of one JAX device, which is half a chip of a TPU v3 and
# of a TPU7x and a whole one of the others. What is not here has no MFU.
# Source: "peak compute per chip" in cloud.google.com/tpu/docs/v3; `CHIPS`; NVIDIA's data sheets of
# A100, H100 and H200 (SXM), halved where they count sparsity. The names are those of
# jax/_src/pallas/mosaic/tpu_info.py and of CUDA.
PEAK_FLOPS = {
  "TPU v3": 123e12 / 2,
  "TPU v4": 1e12 * CHIPS["v4"].tflops,
  **dict.fromkeys(["TPU v5 lite", "TPU v5e"], 1e12 * CHIPS["v5e"].tflops),
  **dict.fromkeys(["TPU v5", "TPU v5p"], 1e12 * CHIPS["v5p"].tflops),
  **dict.fromkeys(["TPU v6 lite", "TPU v6e"], 1e12 * CHIPS["v6e"].tflops),
  "TPU7x": 1e12 * CHIPS["tpu7x"].tflops / CHIPS["tpu7x"].devices,
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
  def num_devices(self) -> int:
    """Counts the JAX devices of the slice."""
    return self.num_chips * self.chip.devices

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

  Source: docs.cloud.google.com/tpu/docs on configurations of v4, v5e, v5p, v6e and TPU7x: where
  the torus has three axes, beside the small ones every torus of cubes of 4x4x4 up to the largest.

  Args:
    generation: key of `CHIPS`.
  """
  chip = CHIPS[generation]
  if chip.links == 4:
    return [(1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16)]
  lengths = range(4, chip.max_chips // 16 + 1, 4)
  cubes = [
    (a, b, c)
    for a, b in itertools.combinations_with_replacement(lengths, 2)
    if a * b * b <= chip.max_chips
    for c in range(b, chip.max_chips // (a * b) + 1, 4)
  ]
  return [(2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4), *cubes]
