"""Heads on regions of feature maps: the class of the object there, and its box."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hornet_jax.dense.conv_norm import ConvNorm
from hornet_jax.models.execution import Execution

ClassesAndBoxes = tuple[Float[Array, "R K1"], Float[Array, "R K 4"]]
"""Logits of K classes and, last, of the background; and a box for each class as `BoxCoder` encodes
it."""


class TwoLayerBoxHead(nn.Module):
  """A `TwoLayerBoxHead` is two linear layers with ReLU on the whole region, then the predictions.

  Source: `Shared2FCBBoxHead` of mmdet with boxes for each class, as the official configs have it
  for Mask R-CNN.
  Deviation: the features of a region are flattened with the channels last.

  Attributes:
    num_classes: K.
    hidden: width of the linear layers.
    execution: the way in which it is computed; the results are float32.
  """

  num_classes: int
  hidden: int = 1024
  execution: Execution = Execution()

  @nn.compact
  def __call__(
    self,
    x: Float[Array, "R P P C"],
    train: bool = False,
    valid: Bool[Array, "R"] | None = None,
  ) -> ClassesAndBoxes:
    """Makes logits and encoded boxes of regions; without norms, `train` and `valid` are idle."""
    del train, valid
    x = x.reshape(len(x), -1)
    for i in range(2):
      x = jax.nn.relu(_linear(self.hidden, self.execution, f"fc_{i}")(x))
    return _Predict(self.num_classes, name="predict")(x)


class ConvBoxHead(nn.Module):
  """A `ConvBoxHead` is four normed 3x3 convolutions and a linear layer, then the predictions.

  Source: `ConvFCBBoxHead` of mmdet with `num_shared_convs=4`, `num_shared_fcs=1`, SyncBN and boxes
  for each class, as the official configs have it for Cascade Mask R-CNN.
  Deviation: the features of a region are flattened with the channels last.

  Attributes:
    num_classes: K.
    channels: width of the convolutions.
    hidden: width of the linear layer.
    num_convs: number of convolutions.
    execution: the way in which it is computed; the results are float32.
  """

  num_classes: int
  channels: int = 256
  hidden: int = 1024
  num_convs: int = 4
  execution: Execution = Execution()

  @nn.compact
  def __call__(
    self,
    x: Float[Array, "R P P C"],
    train: bool = False,
    valid: Bool[Array, "R"] | None = None,
  ) -> ClassesAndBoxes:
    """Makes logits and encoded boxes of regions.

    Args:
      x: features of the regions of all images of the batch.
      train: whether norms take the statistics of these regions.
      valid: regions that count in those statistics; None for all. Where none does, all do.
    """
    if valid is not None:
      valid = valid | ~jnp.any(valid)  # the mean of nothing would be NaN
    for i in range(self.num_convs):
      x = ConvNorm(self.channels, 3, self.execution, name=f"conv_{i}")(x, train, valid)
    x = jax.nn.relu(_linear(self.hidden, self.execution, "fc")(x.reshape(len(x), -1)))
    return _Predict(self.num_classes, name="predict")(x)


class _Predict(nn.Module):
  """The last layers of a box head, in float32."""

  num_classes: int

  @nn.compact
  def __call__(self, x: Float[Array, "R D"]) -> ClassesAndBoxes:
    x = x.astype(jnp.float32)
    logits = nn.Dense(
      self.num_classes + 1, kernel_init=nn.initializers.normal(0.01), name="logits"
    )(x)
    deltas = nn.Dense(
      4 * self.num_classes, kernel_init=nn.initializers.normal(0.001), name="deltas"
    )(x)
    return logits, deltas.reshape(len(x), self.num_classes, 4)


def _linear(features: int, execution: Execution, name: str) -> nn.Dense:
  return nn.Dense(
    features, dtype=execution.dtype, kernel_init=nn.initializers.xavier_uniform(), name=name
  )
