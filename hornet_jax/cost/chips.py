"""The TPUs that can be planned for, and their peaks."""

import dataclasses
import math
import re

from hornet_jax.errors import InputError, unknown_name


@dataclasses.dataclass(frozen=True)
class Chip:
  """One chip of a TPU generation, as the vendor states it.

  Attributes:
    tflops: peak of the matrix units in bfloat16, TFLOP/s.
    vector_tflops: peak of the vector units, TFLOP/s, see `CHIPS`.
    hbm_gib: memory that a program can have, GiB, as the compiler counts it.
    hbm_gbps: bandwidth of that memory, GB/s.
    link_gbps: of the interconnect to other chips, one direction, one link, GB/s.
    links: of each chip; two for each axis of the torus.
    clock_ghz: of the compute units, see `CHIPS`.
    accelerator_type: as Cloud TPU names a slice; `{}` is the number of chips, or of cores.
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


@dataclasses.dataclass(frozen=True)
class Topology:
  """A slice of a pod.

  Attributes:
    generation: one of `CHIPS`.
    sides: chips along each axis of the torus.
  """

  generation: str
  sides: tuple[int, ...]

  @property
  def name(self) -> str:
    """Such as `v5e:16x16`."""
    return f"{self.generation}:{'x'.join(map(str, self.sides))}"

  @property
  def chip(self) -> Chip:
    """What it is made of."""
    return CHIPS[self.generation]

  @property
  def num_chips(self) -> int:
    """In all."""
    return math.prod(self.sides)

  @property
  def accelerator_type(self) -> str:
    """As Cloud TPU names the slice."""
    return self.chip.accelerator_type.format(self.num_chips * self.chip.cores)


def parse_topology(text: str) -> Topology:
  """Reads `v5e:16x16`.

  Raises:
    InputError: if the generation is unknown or the sides are none.
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
  return found
