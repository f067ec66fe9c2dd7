"""A plain ConvNeXt block, to hold a HorNet block against."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from hornet_jax.models.layers import DepthwiseConv, LayerNorm, LayerScale, Mlp

DEPTHS, BASE_DIM = (3, 3, 9, 3), 96
"""Of ConvNeXt-T. Source: arXiv 2201.03545, section 3."""


class ConvNextBlock(nn.Module):
  """x += layer_scale(mlp(norm(dwconv7x7(x)))).

  Source: arXiv 2201.03545, figure 4.

  Attributes:
    dtype: type of the computation.
  """

  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    branch = DepthwiseConv((7, 7), dtype=self.dtype, name="dwconv")(x)
    branch = LayerNorm(self.dtype, name="norm")(branch)
    branch = Mlp(4 * x.shape[-1], self.dtype, name="mlp")(branch)
    return x + LayerScale(1e-6, self.dtype, name="layer_scale")(branch)
