"""A neck makes feature maps of one width of a backbone's, each told what the coarser ones know."""

from collections.abc import Callable, Sequence

import flax.linen as nn
from jaxtyping import Array, Float

from hornet_jax.errors import InputError
from hornet_jax.models.execution import Execution
from hornet_jax.ops.resample import resize_nearest


class Fpn(nn.Module):
  """An `Fpn` is a feature pyramid network; with gnConvs for its 3x3 convolutions it is HorFPN.

  sum_i = lateral_i(map_i) + enlarged sum_{i+1},  out_i = smooth_i(sum_i)

  and each further output is every second position of the one before it, as a pooling of 1x1
  windows with stride 2 gives.

  Source: arXiv 1612.03144; `FPN` of mmdet as the official configs for detection have it, and the
  official `GNFPN` (arXiv 2207.14284, section 3.3).

  Attributes:
    channels: width D of all results.
    outputs: number of results, at least that of the maps.
    smooth: constructor of the modules that make a result of a sum, such as
      `partial(GnConv, order=2, filter="7x7")`, which is called with D, `execution` and `name`.
      None for 3x3 convolutions.
    execution: the way in which it is computed.
  """

  channels: int = 256
  outputs: int = 5
  smooth: Callable[..., nn.Module] | None = None
  execution: Execution = Execution()

  @nn.compact
  def __call__(self, maps: Sequence[Float[Array, "B _ _ _"]]) -> list[Float[Array, "B _ _ D"]]:
    """Makes the results, from the finest on.

    Args:
      maps: feature maps of one level each, from the finest on.

    Raises:
      InputError: if there are more maps than `outputs`.
    """
    if not 0 < len(maps) <= self.outputs:
      raise InputError(
        f"`maps` must be those of 1 to {self.outputs} levels, as many as are made: got {len(maps)}."
      )
    sums = [self._conv(1, f"lateral_{i}")(x) for i, x in enumerate(maps)]  # [B, h_i, w_i, D]
    for i in reversed(range(len(sums) - 1)):
      sums[i] += resize_nearest(sums[i + 1], sums[i].shape[1:3])
    results = [self._smooth(f"smooth_{i}")(x) for i, x in enumerate(sums)]
    while len(results) < self.outputs:
      results.append(results[-1][:, ::2, ::2])
    return results

  @nn.nowrap
  def _smooth(self, name: str) -> nn.Module:
    if self.smooth is None:
      return self._conv(3, name)
    return self.smooth(self.channels, execution=self.execution, name=name)

  @nn.nowrap
  def _conv(self, size: int, name: str) -> nn.Conv:
    return nn.Conv(
      self.channels,
      (size, size),
      dtype=self.execution.dtype,
      kernel_init=nn.initializers.xavier_uniform(),
      name=name,
    )
