"""ConvNeXt has stages of blocks with one branch: a 7x7 depthwise convolution, a norm, an MLP."""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
from jaxtyping import Array, Float

from hornet_jax.models.decay_layers import grouped_layers
from hornet_jax.models.execution import Execution
from hornet_jax.models.hierarchical import Hierarchical
from hornet_jax.models.layers import DepthwiseConv, LayerNorm, LayerScale, Mlp, drop_path
from hornet_jax.models.registry import register


class ConvNextBlock(nn.Module):
  """A `ConvNextBlock` computes x + layer_scale(mlp(norm(dwconv7x7(x)))).

  Source: arXiv 2201.03545, figure 4; official convnext.py, `Block`.

  Attributes:
    mlp_ratio: width inside the MLP, divided by C.
    layer_scale_init: initial layer scale; 0 or None for none.
    execution: the way in which it is computed.
  """

  mlp_ratio: float = 4.0
  layer_scale_init: float | None = 1e-6
  execution: Execution = Execution()

  @nn.compact
  def __call__(
    self, x: Float[Array, "B H W C"], factors: Float[Array, "2 B"] | None = None
  ) -> Float[Array, "B H W C"]:
    """Applies the block; the first row of `factors` multiplies its branch."""
    how = self.execution
    branch = DepthwiseConv((7, 7), execution=how, name="dwconv")(x)
    branch = LayerNorm(how, name="norm")(branch)
    branch = Mlp(round(self.mlp_ratio * x.shape[-1]), how, name="mlp")(branch)
    factors = None if factors is None else factors[0]
    if not self.layer_scale_init:
      return x + drop_path(branch, factors)
    return x + LayerScale(self.layer_scale_init, how, name="layer_scale")(branch, factors)


class ConvNext(Hierarchical):
  """A `ConvNext` is a hierarchical classifier of `ConvNextBlock`s, see `Hierarchical`.

  Source: arXiv 2201.03545 section 2; official convnext.py, `ConvNeXt`, and convnext_isotropic.py
  for one stage.

  Attributes:
    layer_scale_init: initial layer scale; 0 or None for none.
  """

  base_dim: int = 96
  depths: Sequence[int] = (3, 3, 9, 3)
  layer_scale_init: float | None = 1e-6

  def block(self, stage: int) -> Callable[..., nn.Module]:
    """Gives the constructor of a stage's blocks, see `Stage`."""
    del stage
    return functools.partial(ConvNextBlock, self.mlp_ratio, self.layer_scale_init)

  def layer(self, path: str) -> tuple[int, int] | None:
    """Numbers the layers: three blocks of the third of four stages share one."""
    return super().layer(path) or grouped_layers(path, self.depths, 3)


def _register(name: str, base_dim: int, depths: tuple[int, ...]) -> None:
  register(name, ConvNext, image_size=224, origin="paper", base_dim=base_dim, depths=depths)


# Source: arXiv 2201.03545 section 3; official convnext.py, registered models.
_register("convnext_tiny", 96, (3, 3, 9, 3))
_register("convnext_small", 96, (3, 3, 27, 3))
_register("convnext_base", 128, (3, 3, 27, 3))
_register("convnext_large", 192, (3, 3, 27, 3))
# Source: official convnext_isotropic.py: without layer scale.
register(
  "convnext_iso_small",
  ConvNext,
  image_size=224,
  origin="paper",
  base_dim=384,
  depths=(18,),
  patch_size=16,
  stem_norm=False,
  layer_scale_init=None,
)
# For minutes on a CPU.
register(
  "convnext_micro",
  ConvNext,
  image_size=32,
  base_dim=16,
  depths=(1, 1, 3, 1),
  patch_size=2,
  layer_scale_init=0.1,
)
register(
  "convnext_iso_micro",
  ConvNext,
  image_size=32,
  base_dim=48,
  depths=(5,),
  patch_size=4,
  stem_norm=False,
  layer_scale_init=None,
)
