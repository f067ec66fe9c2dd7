"""This module has a plain ConvNeXt block, to hold others against."""

import flax.linen as nn
from jaxtyping import Array, Float

from hornet_jax.models import Execution
from hornet_jax.models.layers import DepthwiseConv, LayerNorm, LayerScale, Mlp

DEPTHS, BASE_DIM = (3, 3, 9, 3), 96
"""Of ConvNeXt-T. Source: arXiv 2201.03545, section 3."""


class ConvNextBlock(nn.Module):
  """A `ConvNextBlock` computes x + layer_scale(mlp(norm(dwconv7x7(x)))).

  Source: arXiv 2201.03545, figure 4.

  Attributes:
    execution: way in which it is computed.
  """

  execution: Execution = Execution()

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    branch = DepthwiseConv((7, 7), execution=self.execution, name="dwconv")(x)
    branch = LayerNorm(self.execution, name="norm")(branch)
    branch = Mlp(4 * x.shape[-1], self.execution, name="mlp")(branch)
    return x + LayerScale(1e-6, self.execution, name="layer_scale")(branch)
