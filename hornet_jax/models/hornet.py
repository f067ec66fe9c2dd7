"""HorNet has four stages of gnConv blocks."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from hornet_jax.models.api import AnyArray, Picture
from hornet_jax.models.block import Block
from hornet_jax.models.decay_layers import grouped_layers
from hornet_jax.models.global_filter import resize_filter
from hornet_jax.models.gnconv import GnConv
from hornet_jax.models.hierarchical import Hierarchical
from hornet_jax.models.param_info import Role
from hornet_jax.models.spatial_filter import SpatialFilter


class HorNet(Hierarchical):
  """A HorNet is a hierarchical classifier whose blocks mix positions by gnConv.

  The order grows from stage to stage, so that the narrowest branches, of width C / 2^(n-1), stay
  alike; see `Hierarchical` for what is around the blocks, and for the other attributes.

  Source: arXiv 2207.14284 section 3.3; official hornet.py, `HorNet`.

  Attributes:
    orders: gnConv order of each stage.
    filters: spatial filter of each stage: `"7x7"` or another kernel size, or a spectral size
      (h, w) where w = W // 2 + 1 of the stage's grid at the intended image size.
    scale: factor s on the output of every spatial filter.
    layer_scale_init: initial layer scale; 0 or None for none.
  """

  base_dim: int = 64
  depths: Sequence[int] = (2, 3, 18, 2)
  orders: Sequence[int] = (2, 3, 4, 5)
  filters: Sequence[SpatialFilter] = ("7x7", "7x7", "7x7", "7x7")
  scale: float = 1 / 3
  layer_scale_init: float | None = 1e-6

  stage_fields = ("orders", "filters")

  def block(self, stage: int) -> Callable[..., nn.Module]:
    """Gives the constructor of a stage's blocks, see `Stage`."""
    mixer = functools.partial(
      GnConv,
      order=self.orders[stage],
      filter=self.filters[stage],
      scale=self.scale,
      name="gnconv",
    )
    return functools.partial(Block, mixer, self.mlp_ratio, self.layer_scale_init)

  def layer(self, path: str) -> tuple[int, int] | None:
    """Numbers the layers: two blocks of the third of four stages share one."""
    return super().layer(path) or grouped_layers(path, self.depths, 2)

  def adapt(self, path: str, value: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    """Resizes a global filter to the grid of `shape`; returns any other parameter as it is."""
    if self.param_info(path).role is not Role.SPECTRAL:
      return value
    return resize_filter(jnp.asarray(value), (shape[0], shape[1]))

  def pictures(self, params: Mapping[str, Any]) -> list[Picture]:
    """Chooses the spatial filter of the last block of each stage."""
    pictures = []
    for s, depth in enumerate(self.depths):
      gnconv = params[f"stage_{s}"][f"block_{depth - 1}"]["gnconv"]
      weights = gnconv.get("dwconv", {})  # a filter such as pooling has none
      if "kernel" in weights:
        pictures.append(Picture(f"Stage {s}", "kernel", weights["kernel"][:, :, 0]))
      if "filter_re" in weights:
        magnitudes = np.hypot(weights["filter_re"], weights["filter_im"])  # [h, w, C]
        pictures.append(Picture(f"Stage {s}", "spectrum", magnitudes))
    return pictures
