"""The last layer of a segmentation head tells the class of every position."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from hornet_jax.dense.channel_dropout import channel_dropout


class ClassifyPositions(nn.Module):
  """`ClassifyPositions` drops channels in training and makes logits of what is left, in float32.

  Source: `cls_seg` of mmseg's decode heads.

  Attributes:
    num_classes: K.
    dropout_rate: probability that a channel of an example is dropped.
    salt: number of the place in the network, which keeps the draws of two heads apart.
  """

  num_classes: int
  dropout_rate: float = 0.1
  salt: int = 0

  @nn.compact
  def __call__(
    self, x: Float[Array, "B H W C"], train: bool, keys: Key[Array, "B"] | None
  ) -> Float[Array, "B H W K"]:
    """Makes logits; with `train` one random key for each example decides what is dropped."""
    if train:
      x = channel_dropout(x, self.dropout_rate, keys, self.salt)
    kernel_init = nn.initializers.normal(0.01)
    return nn.Dense(self.num_classes, kernel_init=kernel_init, name="conv_seg")(
      x.astype(jnp.float32)
    )
