"""The auxiliary head that helps to train a backbone for segmentation."""

import flax.linen as nn
from jaxtyping import Array, Float, Key

from hornet_jax.dense.classify_positions import ClassifyPositions
from hornet_jax.dense.conv_norm import ConvNorm
from hornet_jax.models.execution import Execution


class FcnHead(nn.Module):
  """An `FcnHead` is one 3x3 convolution and a classifier of positions, on one feature map.

  Source: `FCNHead` of mmseg with `num_convs=1` and `concat_input=False`, as the official configs
  have it on the third level.

  Attributes:
    num_classes: K.
    channels: width of the convolution.
    dropout_rate: probability that a channel of an example is dropped in training.
    execution: the way in which it is computed; logits are float32.
  """

  num_classes: int
  channels: int = 256
  dropout_rate: float = 0.1
  execution: Execution = Execution()

  @nn.compact
  def __call__(
    self,
    x: Float[Array, "B h w C"],
    train: bool = False,
    keys: Key[Array, "B"] | None = None,
  ) -> Float[Array, "B h w K"]:
    """Makes logits on the grid of the feature map."""
    x = ConvNorm(self.channels, 3, self.execution, name="conv_0")(x, train)
    return ClassifyPositions(self.num_classes, self.dropout_rate, salt=1, name="classify")(
      x, train, keys
    )
