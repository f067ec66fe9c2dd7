"""What a step of a planned run takes, as a range, and what the whole run then costs.

No TPU was timed for it. The lower end takes every unit of the chip at its peak and all of them at
once; the upper end takes them one after another.
"""

import dataclasses

from hornet_jax.cost.chips import Topology
from hornet_jax.cost.work import Work

FOURIER_PASSES = {"dft": 6, "dft_bf16": 1, "fft": 0}
"""Of the matrix unit for the products of a Fourier transform, by implementation: float32 at the
highest precision, rounded to bfloat16, none."""

METHODS = """\
Step time, lower end: the busiest unit at its peak, the others hidden behind it. Upper end: \
matrix unit, vector unit, memory and interconnect one after another, each at its peak\
{cycles}. Neither was held against a TPU.
Work: linear layers on the matrix unit, depthwise convolutions (2 operations a MAC) on the vector \
unit, Fourier transforms as float32 products of {passes} passes, or one where they are rounded; \
norms, gates and GELU left out. \
Memory traffic: state and gradients read and written once; what linear layers and filters write, \
read as often as needed. Interconnect: rings over all links (lower end) or over those of one axis \
(upper end).
MFU: 6 FLOPs a MAC of the model (forward and backward, nothing recomputed, no Fourier transforms) \
over the peak."""


@dataclasses.dataclass(frozen=True)
class Range:
  """From a lower to an upper end."""

  low: float | int
  high: float | int

  def per(self, amount: float | int) -> "Range":
    """`amount` divided by it: of a time, a speed."""
    return Range(amount / self.high, amount / self.low)

  def times(self, factor: float | int) -> "Range":
    """Both ends multiplied."""
    return Range(factor * self.low, factor * self.high)


@dataclasses.dataclass(frozen=True)
class Step:
  """Seconds of one step on each chip.

  Attributes:
    matrix: of the matrix units.
    vector: of the vector units.
    memory: of the traffic with the memory.
    wire: over all links to over those of one axis.
    compiler: the compiler's cycles at the chip's clock; None where they are not known.
    flops: of each chip, as executed, matrix and vector units.
    memory_bytes: of each chip's traffic with its memory.
  """

  matrix: float
  vector: float
  memory: float
  wire: Range
  compiler: float | None
  flops: int
  memory_bytes: int

  @property
  def seconds(self) -> Range:
    """Lower and upper end, see `METHODS`."""
    low = max(self.matrix, self.vector, self.memory, self.wire.low)
    high = self.matrix + self.vector + self.memory + self.wire.high
    if self.compiler is not None:
      high = max(high, self.compiler + self.wire.high)
      low = min(low, self.compiler)
    return Range(low, high)


def methods(with_cycles: bool) -> str:
  """How the numbers of a `Step` come about, in words."""
  cycles = ", or the compiler's own cycles and the interconnect, if more" if with_cycles else ""
  return METHODS.format(cycles=cycles, passes=FOURIER_PASSES["dft"])


def estimate_step(
  topology: Topology,
  training: Work,
  images: int,
  *,
  fourier_passes: int,
  element_bytes: int,
  state_bytes: int,
  gradient_bytes: int,
  wire_bytes: float,
  cycles: int | None,
) -> Step:
  """Puts peaks to the work of a step.

  Args:
    topology: the chips.
    training: work of one image, forward and backward.
    images: of a step, on each chip.
    fourier_passes: of the matrix unit for each product of a Fourier transform.
    element_bytes: of the type of the computation.
    state_bytes: parameters, averages and moments of each chip.
    gradient_bytes: of each chip.
    wire_bytes: that each chip sends.
    cycles: the compiler's estimate, where it finished.
  """
  chip = topology.chip
  matrix_flops = 2 * images * (training.matmul_macs + fourier_passes * training.fourier_macs)
  vector_flops = 2 * images * training.depthwise_macs
  traffic = 2 * (state_bytes + gradient_bytes) + images * training.elements * element_bytes
  wire = wire_bytes / (chip.link_gbps * 1e9)
  return Step(
    matrix=matrix_flops / (chip.tflops * 1e12),
    vector=vector_flops / (chip.vector_tflops * 1e12),
    memory=traffic / (chip.hbm_gbps * 1e9),
    wire=Range(wire / chip.links, wire / 2),
    compiler=None if cycles is None else cycles / (chip.clock_ghz * 1e9),
    flops=matrix_flops + vector_flops,
    memory_bytes=traffic,
  )


def mfu(topology: Topology, forward: Work, images: int, seconds: Range) -> Range:
  """Share of the peak that the model's own products make up."""
  flops = 6 * images * (forward.matmul_macs + forward.depthwise_macs)
  return seconds.per(flops / (topology.chip.tflops * 1e12))
