"""What a HorNet is made of: its block, and the convolutions that shrink the grid."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from hornet_jax.models.dense import kernel_init
from hornet_jax.models.gnconv import GnConv, SpatialFilter
from hornet_jax.models.layers import LayerNorm, LayerScale, Mlp, drop_path


class Block(nn.Module):
  """x += layer_scale1(gnConv(norm1(x))), then x += layer_scale2(mlp(norm2(x))).

  Source: arXiv 2207.14284 section 3.3; official hornet.py, `Block`.

  Attributes:
    order: of the gnConv.
    filter: of the gnConv, such as `"7x7"` or a spectral size (h, w).
    scale: of the gnConv.
    layer_scale_init: initial layer scale; 0 or None for none.
    global_filter: see `hornet_jax.ops.fourier`.
    depthwise: see `hornet_jax.ops.depthwise_conv`.
    dtype: type of the computation.
    gradient_sum: see `Dense`.
    interleave: of the gnConv.
  """

  order: int
  filter: SpatialFilter = "7x7"
  scale: float = 1 / 3
  layer_scale_init: float | None = 1e-6
  global_filter: str = "dft"
  depthwise: str = "auto"
  dtype: DTypeLike = jnp.float32
  gradient_sum: str = "compute"
  interleave: bool = False

  @nn.compact
  def __call__(
    self, x: Float[Array, "B H W C"], factors: Float[Array, "2 B"] | None = None
  ) -> Float[Array, "B H W C"]:
    """Applies the block; `factors` are the drop-path factors of its two branches."""
    channels = x.shape[-1]
    gnconv = GnConv(
      dim=channels,
      order=self.order,
      filter=self.filter,
      scale=self.scale,
      global_filter=self.global_filter,
      depthwise=self.depthwise,
      dtype=self.dtype,
      gradient_sum=self.gradient_sum,
      interleave=self.interleave,
      name="gnconv",
    )
    first, second = (None, None) if factors is None else factors
    x += self.scaled(gnconv(LayerNorm(self.dtype, name="norm1")(x)), first, 1)
    mlp = Mlp(4 * channels, self.dtype, self.gradient_sum, name="mlp")
    return x + self.scaled(mlp(LayerNorm(self.dtype, name="norm2")(x)), second, 2)

  def scaled(self, branch: Array, factors: Array | None, number: int) -> Array:
    """The branch times its layer scale and its drop-path factors."""
    if not self.layer_scale_init or self.layer_scale_init < 0:
      return drop_path(branch, factors)
    name = f"layer_scale{number}"
    return LayerScale(self.layer_scale_init, self.dtype, name=name)(branch, factors)


class Stem(nn.Module):
  """Patch embedding: a `patch_size` convolution of that stride, then the norm."""

  dim: int
  patch_size: int
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w D"]:
    return LayerNorm(self.dtype, name="norm")(_patch_conv(self.dim, self.patch_size, self.dtype)(x))


class Downsample(nn.Module):
  """The norm, then a 2x2 convolution of stride 2."""

  dim: int
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w D"]:
    return _patch_conv(self.dim, 2, self.dtype)(LayerNorm(self.dtype, name="norm")(x))


def _patch_conv(dim: int, size: int, dtype: DTypeLike) -> nn.Conv:
  return nn.Conv(
    dim, (size, size), (size, size), "VALID", dtype=dtype, kernel_init=kernel_init, name="conv"
  )
