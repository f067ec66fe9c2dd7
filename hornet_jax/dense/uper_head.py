"""UperNet's head: a pyramid of pooled features under a pyramid of feature maps, fused."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from hornet_jax.dense.classify_positions import ClassifyPositions
from hornet_jax.dense.conv_norm import ConvNorm
from hornet_jax.errors import InputError
from hornet_jax.models.execution import Execution
from hornet_jax.ops.resample import average_bins, resize_bilinear


class UperHead(nn.Module):
  """A `UperHead` tells the class of every position of the finest of some feature maps.

  The coarsest map is joined with its averages over bins (pyramid pooling); each finer map is added
  to the enlarged sum of those above it; all are convolved, enlarged, joined and fused to one.

  Source: arXiv 1807.10221; `UPerHead` of mmseg, and the official `GNUPerHead`, which has a gnConv
  for its fusion (HorFPN).

  Attributes:
    num_classes: K.
    channels: width D of every convolution.
    bins: numbers of bins a side for the averages.
    fusion: constructor of the module that fuses the joined maps to D channels, such as
      `partial(GnConvNorm, filter="7x7")`, which is called with D, `execution` and `name`; the
      module is called with the maps and `train`. None for a 3x3 convolution.
    dropout_rate: probability that a channel of an example is dropped in training.
    execution: the way in which it is computed; logits are float32.
  """

  num_classes: int
  channels: int = 512
  bins: Sequence[int] = (1, 2, 3, 6)
  fusion: Callable[..., nn.Module] | None = None
  dropout_rate: float = 0.1
  execution: Execution = Execution()

  @nn.compact
  def __call__(
    self,
    maps: Sequence[Float[Array, "B _ _ _"]],
    train: bool = False,
    keys: Key[Array, "B"] | None = None,
  ) -> Float[Array, "B h w K"]:
    """Makes logits on the grid of the finest map.

    Args:
      maps: feature maps of one level each, from the finest on.
      train: whether channels are dropped, and norms take the statistics of this batch.
      keys: one random key for each example; needed to train with dropout.

    Raises:
      InputError: if there is one map alone, or `keys` are missing.
    """
    if len(maps) < 2:
      raise InputError(f"`maps` must be those of several levels: got {len(maps)}.")
    *finer, coarsest = maps
    sums = [
      self._conv(1, f"lateral_{i}")(x, train)  # [B, h_i, w_i, D]
      for i, x in enumerate(finer)
    ]
    sums.append(self._pool_pyramid(coarsest, train))
    for i in reversed(range(len(finer))):
      sums[i] += resize_bilinear(sums[i + 1], sums[i].shape[1:3])
    levels = [self._conv(3, f"fpn_{i}")(x, train) for i, x in enumerate(sums[:-1])]
    grid = levels[0].shape[1:3]
    joined = [resize_bilinear(x, grid) for x in [*levels, sums[-1]]]
    x = self._fuse()(jnp.concatenate(joined, axis=-1), train)  # [B, h, w, D]
    return ClassifyPositions(self.num_classes, self.dropout_rate, name="classify")(x, train, keys)

  @nn.nowrap
  def _pool_pyramid(self, x: Array, train: bool) -> Array:
    """Joins a map with its averages over bins, and makes D channels of them."""
    averages = [
      resize_bilinear(
        self._conv(1, f"pool_{k}")(average_bins(x, bins), train), (x.shape[1], x.shape[2])
      )
      for k, bins in enumerate(self.bins)
    ]
    return self._conv(3, "bottleneck")(jnp.concatenate([x, *averages], axis=-1), train)

  @nn.nowrap
  def _conv(self, size: int, name: str) -> ConvNorm:
    return ConvNorm(self.channels, size, self.execution, name=name)

  @nn.nowrap
  def _fuse(self) -> nn.Module:
    if self.fusion is None:
      return self._conv(3, "fusion")
    return self.fusion(self.channels, execution=self.execution, name="fusion")
