"""This module counts the work of single operations of a jaxpr."""

import dataclasses
import math
from typing import Any

from jax.extend import core

FOURIER_SCOPE = "fourier"
"""The name scope whose products belong to Fourier transforms."""

_TRANSFORMS = ("rfft2", "irfft2")  # what hornet_jax.ops.fourier names: images [B, H, W, C]


@dataclasses.dataclass(frozen=True)
class Work:
  """A `Work` holds numbers of operations; a multiply-accumulate (MAC) is two FLOPs.

  Attributes:
    matmul_macs: MACs of matrix products and of convolutions that mix channels.
    depthwise_macs: MACs of depthwise convolutions, which no matrix unit can do.
    fourier_macs: MACs of Fourier transforms, done as matrix products.
    spectral_macs: nominal MACs of the same transforms, C H W ceil(log2(H W)) for each transform
      of C channels.
    elements: numbers that products write; of a pair of transforms, the filtered image alone.
  """

  matmul_macs: int = 0
  depthwise_macs: int = 0
  fourier_macs: int = 0
  spectral_macs: int = 0
  elements: int = 0

  @property
  def macs(self) -> int:
    """Gives the MACs of convolutions and matrix products, which most papers call FLOPs.

    Fourier transforms, norms, gates, GELU and the like are left out.
    """
    return self.matmul_macs + self.depthwise_macs

  def __add__(self, other: "Work") -> "Work":
    mine, others = dataclasses.astuple(self), dataclasses.astuple(other)
    return Work(*(a + b for a, b in zip(mine, others, strict=True)))

  def times(self, n: int) -> "Work":
    """Returns the work of doing this `n` times."""
    return Work(*(n * value for value in dataclasses.astuple(self)))


def operation_work(eqn: core.JaxprEqn, in_fourier: bool) -> Work:
  """Counts the work of one equation, without the jaxprs inside of it.

  Args:
    eqn: equation of a jaxpr.
    in_fourier: whether the equation stands in the name scope `FOURIER_SCOPE`.
  """
  match eqn.primitive.name:
    case "dot_general":
      macs, is_depthwise = _dot_macs(eqn), False
    case "conv_general_dilated":
      macs, is_depthwise = _conv_macs(eqn), _is_depthwise(eqn)
    case "name" if in_fourier:
      return _transform_work(eqn)
    case "fft" if not in_fourier:
      size = max(math.prod(_shape(var)) for var in (*eqn.invars, *eqn.outvars))
      return Work(spectral_macs=_nominal(size, eqn.params["fft_lengths"]))
    case _:
      return Work()
  if in_fourier:
    return Work(fourier_macs=macs)
  elements = math.prod(_shape(eqn.outvars[0]))
  if is_depthwise:
    return Work(depthwise_macs=macs, elements=elements)
  return Work(matmul_macs=macs, elements=elements)


def _dot_macs(eqn: core.JaxprEqn) -> int:
  (contracted, _), _ = eqn.params["dimension_numbers"]
  shape = _shape(eqn.invars[0])
  return math.prod(_shape(eqn.outvars[0])) * math.prod(shape[axis] for axis in contracted)


def _conv_macs(eqn: core.JaxprEqn) -> int:
  """Counts, for each output, a window of all inputs of its group, padding included."""
  kernel = _shape(eqn.invars[1])
  _, inputs, *sides = eqn.params["dimension_numbers"].rhs_spec
  window = kernel[inputs] * math.prod(kernel[side] for side in sides)
  # In the gradient of a strided convolution most of a window is zeros between the inputs.
  return math.prod(_shape(eqn.outvars[0])) * window // math.prod(eqn.params["lhs_dilation"])


def _is_depthwise(eqn: core.JaxprEqn) -> bool:
  """Tells whether each group has one channel on a side, forward or in either operand's gradient."""
  numbers = eqn.params["dimension_numbers"]
  kernel, groups = _shape(eqn.invars[1]), eqn.params["feature_group_count"]
  inputs = kernel[numbers.rhs_spec[1]]
  if groups == 1:  # or the gradient of a kernel: groups of a batch, which is the input's channels
    groups = eqn.params["batch_group_count"]
    inputs = _shape(eqn.outvars[0])[numbers.out_spec[0]]
  return groups > 1 and 1 in (inputs, kernel[numbers.rhs_spec[0]] // groups)


def _transform_work(eqn: core.JaxprEqn) -> Work:
  """Counts a transform but for its MACs, which are those of its products."""
  name, image = eqn.params["name"], _shape(eqn.outvars[0])
  if name not in _TRANSFORMS:
    return Work()
  is_inverse = name == _TRANSFORMS[1]
  size = math.prod(image)
  return Work(spectral_macs=_nominal(size, image[1:3]), elements=size if is_inverse else 0)


def _nominal(size: int, sides: tuple[int, ...]) -> int:
  return size * math.ceil(math.log2(math.prod(sides)))


def _shape(var: Any) -> tuple[int, ...]:
  return var.aval.shape
