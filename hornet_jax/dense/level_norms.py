"""Feature maps are normed for the head that reads them."""

from collections.abc import Sequence

import flax.linen as nn
from jaxtyping import Array, Float

from hornet_jax.models.execution import Execution
from hornet_jax.models.layers import LayerNorm


class LevelNorms(nn.Module):
  """`LevelNorms` norm each feature map over its channels: only the copy that a head gets.

  Source: `norm0` to `norm3` of the official backbones for dense prediction.

  Attributes:
    execution: the way in which it is computed.
  """

  execution: Execution = Execution()

  @nn.compact
  def __call__(self, maps: Sequence[Float[Array, "B _ _ _"]]) -> list[Float[Array, "B _ _ _"]]:
    """Norms one map a level."""
    return [LayerNorm(self.execution, name=f"norm_{i}")(x) for i, x in enumerate(maps)]
