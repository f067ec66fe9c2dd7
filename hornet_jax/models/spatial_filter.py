"""The filter f of a gnConv is a slot, with short names for the filters of the paper."""

import re
from collections.abc import Callable, Sequence

import flax.linen as nn

from hornet_jax.errors import InputError
from hornet_jax.models.execution import Execution
from hornet_jax.models.global_filter import GlobalLocalFilter
from hornet_jax.models.layers import DepthwiseConv

SpatialFilter = str | Sequence[int] | Callable[..., nn.Module]
"""A depthwise kernel such as `"7x7"`, the (h, w) of a global filter, or the constructor of any
module that keeps the shape of its input, which is called with `execution` and `name`."""


def make_filter(spatial_filter: SpatialFilter, execution: Execution, name: str) -> nn.Module:
  """Makes the module that `spatial_filter` stands for, see `SpatialFilter`.

  Raises:
    InputError: if a kernel size or a spectral size is malformed.
  """
  if callable(spatial_filter):
    return spatial_filter(execution=execution, name=name)
  if isinstance(spatial_filter, str):
    return DepthwiseConv(kernel_size(spatial_filter), execution=execution, name=name)
  if len(spatial_filter) != 2 or min(spatial_filter) < 1:
    raise InputError(
      f"`filter` must be a kernel or a spectral size: expected such as '7x7' or (14, 8), got "
      f"{spatial_filter!r}."
    )
  # To reorder the kernels behind the filter is the same function as to interleave its halves, and
  # cheaper, unless kernels lie in parts: their reordered gradients would be summed whole.
  return GlobalLocalFilter(
    (spatial_filter[0], spatial_filter[1]),
    halved=not execution.fsdp,
    execution=execution,
    name=name,
  )


def kernel_size(spatial_filter: str) -> tuple[int, int]:
  """Reads (kh, kw) from text such as `"7x7"`; raises `InputError` unless both sides are odd."""
  match = re.fullmatch(r"(\d+)x(\d+)", spatial_filter)
  if not match or not all(int(side) % 2 for side in match.groups()):
    raise InputError(
      f"`filter` must be a kernel with odd sides or a spectral size: expected such as "
      f"'7x7' or (14, 8), got {spatial_filter!r}."
    )
  return int(match[1]), int(match[2])
