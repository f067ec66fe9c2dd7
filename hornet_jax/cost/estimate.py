"""The time of a planned training step is estimated as a range between two bounds of different kind.

No TPU was timed for it. The lower end takes every unit of the chip at its peak and all of them at
once; the upper end takes the compiler's own estimate of cycles, with nothing hidden behind it.
"""

import dataclasses
import math
from collections.abc import Collection

from hornet_jax.cost.finished import Scale
from hornet_jax.cost.hardware import Topology
from hornet_jax.cost.operations import Work

FOURIER_PASSES = {"dft": 6, "dft_bf16": 1, "fft": 0}
"""Passes of the matrix unit for each product of a Fourier transform, by implementation: float32
at the highest precision takes six, rounding to bfloat16 one, an FFT none."""

METHODS = """\
At peak, the lower end of a step: the busiest of matrix unit, vector unit, memory and networks at \
its peak, the others hidden behind it. By cycles, the upper end: {cycles}, then the networks; or \
all units one after another at their peaks, where that is more.
What neither end knows: how far a chip hides one unit's work behind another's, its waits for \
memory, and how the clock holds. The compiler's cycles rank programs; single operations were seen \
off by factors of two to four in both directions, and collectives have none. It may cut an \
operation into windows of one pixel, which takes seconds by its own cycles: only --full sees \
that. Input, evaluation, checkpoints and hosts that wait for each other are left out. \
No TPU was timed.
Work: linear layers and attention on the matrix unit, depthwise convolutions (2 operations a MAC) \
on the vector unit, Fourier transforms as float32 products of {passes} passes, or one where they \
are rounded; norms, gates and GELU left out. \
Memory traffic: state and gradients read and written once; what linear layers and filters write, \
read as often as needed. Interconnect: rings over all links (at peak) or over those of one axis \
(by cycles).
MFU: 6 FLOPs a MAC of the model (forward and backward, nothing recomputed, no Fourier transforms) \
over the peak."""

COUNTED = "the compiler's estimate of cycles at the chip's clock"
UNKNOWN = "not known here, as no compile of such a model was finished (--full finishes this one)"


@dataclasses.dataclass(frozen=True)
class Range:
  """A range reaches from a lower to an upper end of an estimate; infinity is an unknown end."""

  low: float | int
  high: float | int

  def per(self, amount: float | int) -> "Range":
    """Divides `amount` by the range, which makes a speed of a time."""
    return Range(amount / self.high, amount / self.low)

  def times(self, factor: float | int) -> "Range":
    """Multiplies both ends by `factor`."""
    return Range(factor * self.low, factor * self.high)


@dataclasses.dataclass(frozen=True)
class Cycles:
  """The compiler's cycles of a step, as a time.

  Attributes:
    seconds: cycles over the chip's clock.
    basis: phrase that tells whether the step itself was compiled to the end, or another.
  """

  seconds: float
  basis: str


@dataclasses.dataclass(frozen=True)
class Step:
  """A `Step` holds the estimated times of one training step on each chip.

  Attributes:
    matrix: seconds of the matrix units.
    vector: seconds of the vector units.
    memory: seconds of the traffic with the chip's memory.
    wire: seconds on the interconnect, from all links used to those of one axis alone.
    between: seconds on the network between slices; 0 with one slice.
    cycles: the compiler's cycles, counted or scaled; None where neither is possible.
    flops: FLOPs of each chip, as executed, on matrix and vector units.
    memory_bytes: bytes of each chip's traffic with its memory.
  """

  matrix: float
  vector: float
  memory: float
  wire: Range
  between: float
  cycles: Cycles | None
  flops: int
  memory_bytes: int

  @property
  def in_turn(self) -> float:
    """Gives the seconds of a chip's own units one after another, each at its peak."""
    return self.matrix + self.vector + self.memory

  @property
  def at_peak_networks_shown(self) -> float:
    """Gives the seconds at peak with the networks' time on top, where it weighs most."""
    return max(self.matrix, self.vector, self.memory) + self.wire.high + self.between

  @property
  def seconds(self) -> Range:
    """Gives the lower and upper end of the step's time, in seconds, see `METHODS`."""
    low = max(self.matrix, self.vector, self.memory, self.wire.low, self.between)
    if self.cycles is None:
      return Range(low, math.inf)
    own = max(self.in_turn, self.cycles.seconds)
    return Range(low, own + self.wire.high + self.between)


def methods(bases: Collection[str]) -> str:
  """Explains how the numbers of a `Step` come about, as text for a person.

  Args:
    bases: what the upper ends of the steps are taken from, see `Cycles.basis` and `UNKNOWN`.
  """
  return METHODS.format(cycles=", or ".join(sorted(bases)), passes=FOURIER_PASSES["dft"])


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
  between_bytes: float,
  cycles: int | None,
  scale: Scale | None,
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
    wire_bytes: bytes that each chip sends in a step to others of its slice.
    between_bytes: bytes that each chip sends in a step to other slices; 0 with one slice.
    cycles: cycles of a step as the compiler estimates them; None unless it finished.
    scale: what makes cycles of the units' work where the compiler did not finish; None where
      there is nothing to scale.
  """
  chip = topology.chip
  matrix_flops = 2 * images * (training.matmul_macs + fourier_passes * training.fourier_macs)
  vector_flops = 2 * images * training.depthwise_macs
  traffic = 2 * (state_bytes + gradient_bytes) + images * training.elements * element_bytes
  wire = wire_bytes / (chip.link_gbps * 1e9)
  step = Step(
    matrix=matrix_flops / (chip.tflops * 1e12),
    vector=vector_flops / (chip.vector_tflops * 1e12),
    memory=traffic / (chip.hbm_gbps * 1e9),
    wire=Range(wire / chip.links, wire / 2),
    between=between_bytes / (1e9 * chip.dcn_gbps) if chip.dcn_gbps else 0.0,
    cycles=None,
    flops=matrix_flops + vector_flops,
    memory_bytes=traffic,
  )
  if cycles is not None:
    known = Cycles(cycles / (chip.clock_ghz * 1e9), COUNTED)
  elif scale is not None:
    known = Cycles(scale.ratio * step.in_turn, scaled_basis(scale))
  else:
    return step
  return dataclasses.replace(step, cycles=known)


def scaled_basis(scale: Scale) -> str:
  """Tells in a phrase which finished compile cycles were scaled from."""
  row = scale.source
  stuck = f", {row.stuck:.0f} ms of it in one operation" if scale.same_step and row.stuck else ""
  what = f"{row.variant}, {row.images} images, {row.dtype}, remat {row.remat}, {row.generation}"
  other = "" if scale.same_chip else ", as none was for this TPU"
  return (
    f"{scale.ratio:.1f} times matrix unit, vector unit and memory in turn, the most that the "
    f"compiler's cycles came to in finished compiles of this model's family ({what}{stuck}{other}; "
    "--full finishes this one)"
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
