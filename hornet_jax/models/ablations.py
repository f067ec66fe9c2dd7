"""The ablation ladder: other spatial mixings in HorNet's frame, and other filters in gnConv.

From a plain depthwise convolution to gnConv one thing changes at a time. Each rung is a value of
`Mixed.mixer` or of HorNet's `orders` and `filters`.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hornet_jax.models.attention import WindowAttention
from hornet_jax.models.block import Block
from hornet_jax.models.decay_layers import grouped_layers
from hornet_jax.models.dense import Dense
from hornet_jax.models.execution import Execution
from hornet_jax.models.hierarchical import Hierarchical
from hornet_jax.models.hornet import HorNet
from hornet_jax.models.registry import register
from hornet_jax.models.spatial_filter import SpatialFilter, make_filter

_WIDEST_HEAD = 32  # channels. Source: arXiv 2103.14030 section 3.3.


class Mixed(Hierarchical):
  """A `Mixed` is a hierarchical classifier with any spatial mixing, the same in every stage.

  Source: arXiv 2207.14284, ablation study; see `Hierarchical` for the other attributes.

  Attributes:
    mixer: constructor of the spatial mixing, see `Block`.
    layer_scale_init: initial layer scale; 0 or None for none.
  """

  base_dim: int = 96
  depths: Sequence[int] = (2, 2, 6, 2)
  mixer: Callable[..., nn.Module] | None = None
  layer_scale_init: float | None = 1e-6

  def block(self, stage: int) -> Callable[..., nn.Module]:
    """Gives the constructor of a stage's blocks, see `Stage`."""
    del stage
    mixer = self.mixer or FilterMixer
    mixer = functools.partial(mixer, name="mixer")
    return functools.partial(Block, mixer, self.mlp_ratio, self.layer_scale_init)

  def layer(self, path: str) -> tuple[int, int] | None:
    """Numbers the layers: two blocks of the third of four stages share one, as in HorNet."""
    return super().layer(path) or grouped_layers(path, self.depths, 2)


class FilterMixer(nn.Module):
  """A `FilterMixer` is what is left of gnConv without gates: a filter between 1x1 convolutions.

  out = proj_out(f(proj_in(x))), or proj_out(squeeze_excite(f(proj_in(x)))).

  Source: arXiv 2207.14284, ablation study; the 1x1 convolutions are our reconstruction.

  Attributes:
    filter: spatial filter f, see `SpatialFilter`.
    squeeze_excite: whether channels are weighted by what the whole image holds.
    execution: the way in which it is computed.
  """

  filter: SpatialFilter = "7x7"
  squeeze_excite: bool = False
  execution: Execution = Execution()

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    how, dim = self.execution, x.shape[-1]
    x = Dense(dim, how, name="proj_in")(x)
    x = make_filter(self.filter, how, "dwconv")(x)
    if self.squeeze_excite:
      x = SqueezeExcite(execution=how, name="squeeze_excite")(x)
    return Dense(dim, how, name="proj_out")(x)


class SqueezeExcite(nn.Module):
  """A `SqueezeExcite` multiplies each channel by a weight that depends on the means of all.

  out = x * sigmoid(fc2(ReLU(fc1(mean over H and W of x)))).

  Source: arXiv 1709.01507 section 3.

  Attributes:
    reduction: width of `x` over the width between the two layers.
    execution: the way in which it is computed.
  """

  reduction: int = 4
  execution: Execution = Execution()

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    channels = x.shape[-1]
    mean = jnp.mean(x.astype(jnp.float32), axis=(1, 2))  # [B, C]
    hidden = Dense(max(channels // self.reduction, 1), self.execution, name="fc1")(mean)
    weights = Dense(channels, self.execution, name="fc2")(jax.nn.relu(hidden))
    return x * jax.nn.sigmoid(weights)[:, None, None]


class AveragePool(nn.Module):
  """An `AveragePool` takes the mean of the positions around each; those outside do not count.

  Source: arXiv 2111.11418, `Pooling`, without its subtraction.

  Attributes:
    size: side of the square of positions, odd.
    execution: the way in which it is computed.
  """

  size: int = 3
  execution: Execution = Execution()

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    sides = (self.size, self.size)
    return nn.avg_pool(x, sides, (1, 1), "SAME", count_include_pad=False)


class WindowFilter(nn.Module):
  """A `WindowFilter` is attention inside of windows as the filter of a gnConv.

  The heads are the widest that divide the channels of the branches, up to 32.

  Attributes:
    window: side of the windows.
    execution: the way in which it is computed.
  """

  window: int = 7
  execution: Execution = Execution()

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    heads = x.shape[-1] // math.gcd(x.shape[-1], _WIDEST_HEAD)
    return WindowAttention(heads, self.window, execution=self.execution, name="attention")(x)


# The ladder, on the base of Swin-T: C = 96, depths 2, 2, 6, 2. It ends with HorNet-T. Micro ones of
# the same rungs are for minutes on a CPU.
_FILTERS: dict[str, SpatialFilter] = {
  "7x7": "7x7",
  "3x3": "3x3",
  "pool": AveragePool,
  "attention": WindowFilter,
}
_ORDERS = ((1, 1, 1, 1), (2, 2, 2, 2), (3, 3, 3, 3), (4, 4, 4, 4), (5, 5, 5, 5), (1, 2, 3, 4))
_FULL = (2, 3, 4, 5)


def _rung(name: str, constructor: Callable[..., Hierarchical], **fields: Any) -> None:
  base: dict[str, Any] = {"base_dim": 96, "depths": (2, 2, 6, 2)}
  register(f"ladder_{name}", constructor, image_size=224, **base, **fields)
  micro: dict[str, Any] = {"base_dim": 16, "depths": (1, 1, 2, 1)}
  micro |= {"patch_size": 2, "layer_scale_init": 0.1}
  register(f"ladder_micro_{name}", constructor, image_size=32, **micro, **fields)


for _name, _filter in _FILTERS.items():
  _rung(_name, Mixed, mixer=functools.partial(FilterMixer, filter=_filter))
_rung("se", Mixed, mixer=functools.partial(FilterMixer, squeeze_excite=True))
for _orders in (*_ORDERS, _FULL):
  _rung(f"g{''.join(map(str, _orders))}", HorNet, orders=_orders)
# gnConv around other operations than a 7x7 convolution.
for _name in ("3x3", "pool", "attention"):
  _rung(f"g2345_{_name}", HorNet, orders=_FULL, filters=(_FILTERS[_name],) * 4)
