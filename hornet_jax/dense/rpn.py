"""The head of a region proposal network says of every anchor whether there is an object."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hornet_jax.models.execution import Execution

AnchorLogits = list[Float[Array, "B _"]]
"""Logit of each anchor of each image, one array a level, in the order of `grid_anchors`."""

AnchorDeltas = list[Float[Array, "B _ 4"]]
"""Box of each anchor as `BoxCoder` encodes it, one array a level."""


class RpnHead(nn.Module):
  """An `RpnHead` is a 3x3 convolution, ReLU and two linear layers, the same for all levels.

  Source: arXiv 1506.01497; `RPNHead` of mmdet.

  Attributes:
    channels: width of the convolution.
    num_anchors: number A of anchors at a position.
    execution: the way in which it is computed; the results are float32.
  """

  channels: int = 256
  num_anchors: int = 3
  execution: Execution = Execution()

  @nn.compact
  def __call__(self, maps: Sequence[Float[Array, "B _ _ _"]]) -> tuple[AnchorLogits, AnchorDeltas]:
    """Makes logits and encoded boxes, one array [B, h w A] or [B, h w A, 4] a level."""
    init = nn.initializers.normal(0.01)
    conv = nn.Conv(self.channels, (3, 3), dtype=self.execution.dtype, kernel_init=init, name="conv")
    logits = nn.Dense(self.num_anchors, kernel_init=init, name="logits")
    deltas = nn.Dense(4 * self.num_anchors, kernel_init=init, name="deltas")
    hidden = [jax.nn.relu(conv(x)).astype(jnp.float32) for x in maps]  # [B, h, w, channels]
    batch = maps[0].shape[0]
    return (
      [logits(x).reshape(batch, -1) for x in hidden],
      [deltas(x).reshape(batch, -1, 4) for x in hidden],
    )
