"""A head on regions of feature maps: which of its points are of the object."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hornet_jax.models.execution import Execution

_INIT = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class MaskHead(nn.Module):
  """A `MaskHead` is 3x3 convolutions with ReLU, on a grid that is doubled before the prediction.

  Source: arXiv 1703.06870; `FCNMaskHead` of mmdet.

  Attributes:
    num_classes: K.
    channels: width of the convolutions.
    num_convs: number of 3x3 convolutions.
    execution: the way in which it is computed; logits are float32.
  """

  num_classes: int
  channels: int = 256
  num_convs: int = 4
  execution: Execution = Execution()

  @nn.compact
  def __call__(self, x: Float[Array, "R P P C"]) -> Float[Array, "R Q Q K"]:
    """Makes logits of every class on a grid of Q = 2 P points a side."""
    dtype = self.execution.dtype
    for i in range(self.num_convs):
      conv = nn.Conv(self.channels, (3, 3), dtype=dtype, kernel_init=_INIT, name=f"conv_{i}")
      x = jax.nn.relu(conv(x))
    enlarge = nn.ConvTranspose(
      self.channels,
      (2, 2),
      (2, 2),
      padding="VALID",
      dtype=dtype,
      kernel_init=_INIT,
      name="enlarge",
    )
    x = jax.nn.relu(enlarge(x)).astype(jnp.float32)
    return nn.Dense(self.num_classes, kernel_init=_INIT, name="logits")(x)
