"""Patch convolutions shrink the grid: in the stem and between stages."""

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from hornet_jax.models.dense import kernel_init
from hornet_jax.models.execution import Execution
from hornet_jax.models.layers import LayerNorm


class Stem(nn.Module):
  """The stem embeds patches: a convolution of side and stride `patch_size`, then the norm."""

  dim: int
  patch_size: int
  execution: Execution = Execution()

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w D"]:
    x = _patch_conv(self.dim, self.patch_size, self.execution.dtype)(x)  # [B, h, w, D]
    return LayerNorm(self.execution, name="norm")(x)


class Downsample(nn.Module):
  """A `Downsample` applies the norm, then a 2x2 convolution of stride 2 to width `dim`."""

  dim: int
  execution: Execution = Execution()

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w D"]:
    x = LayerNorm(self.execution, name="norm")(x)
    return _patch_conv(self.dim, 2, self.execution.dtype)(x)


def _patch_conv(dim: int, size: int, dtype: DTypeLike) -> nn.Conv:
  return nn.Conv(
    dim, (size, size), (size, size), "VALID", dtype=dtype, kernel_init=kernel_init, name="conv"
  )
