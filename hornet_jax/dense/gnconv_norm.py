"""HorFPN puts a gnConv in the place of a convolution of a neck or head."""

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from hornet_jax.dense.conv_norm import batch_norm
from hornet_jax.models.execution import Execution
from hornet_jax.models.gnconv import GnConv
from hornet_jax.models.spatial_filter import SpatialFilter


class GnConvNorm(nn.Module):
  """A `GnConvNorm` is a gnConv without a factor on its filter, then batch normalization and ReLU.

  It takes the place of a 3x3 `ConvNorm`. From 2,048 to 512 channels it has 27 % of the products of
  one, and the reach of its filter.

  Source: arXiv 2207.14284 section 3.3, HorFPN; official `GNConvModule`.
  Deviation: kernels start from a normal distribution of deviation 0.02, as in the backbones, and
  not as PyTorch's convolutions do.

  Attributes:
    features: width D of the result.
    order: order of the gnConv.
    filter: its filter: in the published segmentation models `"7x7"` or the spectral size (32, 17).
    execution: the way in which it is computed.
  """

  features: int
  order: int = 2
  filter: SpatialFilter = "7x7"
  execution: Execution = Execution()

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B H W D"]:
    """Applies it; with `train` the norm takes the statistics of this batch."""
    x = GnConv(
      self.features,
      self.order,
      self.filter,
      scale=1.0,
      execution=self.execution,
      name="gnconv",
    )(x)
    return jax.nn.relu(batch_norm(self.execution, train)(x))
