"""The time of a planned training step is estimated as a range, from the peaks of the chip.

No TPU was timed for it. The lower end takes every unit of the chip at its peak and all of them at
once; the upper end takes them one after another.
"""

import dataclasses

from hornet_jax.cost.hardware import Topology
from hornet_jax.cost.operations import Work

FOURIER_PASSES = {"dft": 6, "dft_bf16": 1, "fft": 0}
"""Passes of the matrix unit for each product of a Fourier transform, by implementation: float32
at the highest precision takes six, rounding to bfloat16 one, an FFT none."""

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
  """A range reaches from a lower to an upper end of an estimate."""

  low: float | int
  high: float | int

  def per(self, amount: float | int) -> "Range":
    """Divides `amount` by the range, which makes a speed of a time."""
    return Range(amount / self.high, amount / self.low)

  def times(self, factor: float | int) -> "Range":
    """Multiplies both ends by `factor`."""
    return Range(factor * self.low, factor * self.high)


@dataclasses.dataclass(frozen=True)
class Step:
  """A `Step` holds the estimated times of one training step on each chip.

  Attributes:
    matrix: seconds of the matrix units.
    vector: seconds of the vector units.
    memory: seconds of the traffic with the chip's memory.
    wire: seconds on the interconnect, from all links used to those of one axis alone.
    compiler: seconds of the compiler's cycles at the chip's clock; None where not known.
    flops: FLOPs of each chip, as executed, on matrix and vector units.
    memory_bytes: bytes of each chip's traffic with its memory.
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
    """Gives the lower and upper end of the step's time, in seconds, see `METHODS`."""
    low = max(self.matrix, self.vector, self.memory, self.wire.low)
    high = self.matrix + self.vector + self.memory + self.wire.high
    if self.compiler is not None:
      high = max(high, self.compiler + self.wire.high)
      low = min(low, self.compiler)
    return Range(low, high)


def methods(with_cycles: bool) -> str:
  """Explains how the numbers of a `Step` come about, as text for a person.

  Args:
    with_cycles: whether the compiler's cycles are part of the estimate.
  """
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
  """Estimates the time of a step from its work and the peaks of the chip.

  Args:
    topology: slice of TPU chips.
    training: work of one image, forward and backward.
    images: images of a step on each chip.
    fourier_passes: passes of the matrix unit for each product, see `FOURIER_PASSES`.
    element_bytes: bytes of a number in the type of the computation.
    state_bytes: bytes of parameters, averages and optimiser state on each chip.
    gradient_bytes: bytes of the gradients on each chip.
    wire_bytes: bytes that each chip sends in a step.
    cycles: cycles of a step as the compiler estimates them; None unless it finished.
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
  """Returns the model FLOPs utilisation: the model's own FLOPs over those at the peak.

  Args:
    topology: slice of TPU chips.
    forward: work of one image forward.
    images: images of a step on each chip.
    seconds: time of a step.
  """
  flops = 6 * images * forward.macs
  return seconds.per(flops / (topology.chip.tflops * 1e12))
