"""The residual block has a slot for the spatial mixing, followed by an MLP."""

from collections.abc import Callable

import flax.linen as nn
from jaxtyping import Array, Float

from hornet_jax.models.execution import Execution
from hornet_jax.models.layers import LayerNorm, LayerScale, Mlp, drop_path
from hornet_jax.ops.layer_norm import EPSILON


class Block(nn.Module):
  """A block mixes positions, then channels, each on a residual branch.

  x += layer_scale1(mixer(norm1(x))), then x += layer_scale2(mlp(norm2(x))).

  Source: arXiv 2207.14284 section 3.3; official hornet.py, `Block`.

  Attributes:
    mixer: constructor of the spatial mixing, which keeps the shape; called with `execution`.
      The name that it gives the module is part of the parameters' paths:
      `partial(GnConv, order=3, name="gnconv")`.
    mlp_ratio: width inside the MLP, divided by C.
    layer_scale_init: initial layer scale; 0 or None for none.
    epsilon: number that the norms add to the variance.
    execution: the way in which it is computed.
  """

  mixer: Callable[..., nn.Module]
  mlp_ratio: float = 4.0
  layer_scale_init: float | None = 1e-6
  epsilon: float = EPSILON
  execution: Execution = Execution()

  @nn.compact
  def __call__(
    self, x: Float[Array, "B *grid C"], factors: Float[Array, "2 B"] | None = None
  ) -> Float[Array, "B *grid C"]:
    """Applies the block; `factors` are the drop-path factors of its two branches."""
    first, second = (None, None) if factors is None else factors
    norm1 = LayerNorm(self.execution, self.epsilon, name="norm1")
    x += self.scaled(self.mixer(execution=self.execution)(norm1(x)), first, 1)
    norm2 = LayerNorm(self.execution, self.epsilon, name="norm2")
    mlp = Mlp(round(self.mlp_ratio * x.shape[-1]), self.execution, name="mlp")
    return x + self.scaled(mlp(norm2(x)), second, 2)

  def scaled(self, branch: Array, factors: Array | None, number: int) -> Array:
    """Multiplies a branch by its layer scale and its drop-path factors."""
    if not self.layer_scale_init or self.layer_scale_init < 0:
      return drop_path(branch, factors)
    name = f"layer_scale{number}"
    return LayerScale(self.layer_scale_init, self.execution, name=name)(branch, factors)
