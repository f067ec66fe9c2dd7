"""A made-up architecture, whole in one file; it shares no name with those of the package."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from hornet_jax import Execution
from hornet_jax.models.api import FeatureInfo, Picture
from hornet_jax.models.block import Block
from hornet_jax.models.layers import (
  DepthwiseConv,
  Mlp,
  drop_path_factors,
  drop_path_rates,
)
from hornet_jax.models.param_info import ParamInfo, Role, layer_param_info
from hornet_jax.models.stage import Stage

NAME = "postcard_nano"


class Postcard(nn.Module):
  """A made-up classifier: patches with learned positions, equal blocks twice, another name for all.

  Attributes:
    num_classes: K.
    dim: C.
    depths: blocks before and behind the MLP between them.
    grid: side of the table of positions.
    patch_size: side of the patches.
    drop_path_rate: drop probability of the last block.
    execution: the way in which it is computed.
  """

  num_classes: int = 1000
  dim: int = 8
  depths: tuple[int, int] = (2, 3)
  grid: int = 4
  patch_size: int = 4
  drop_path_rate: float = 0.0
  execution: Execution = Execution()

  @nn.compact
  def __call__(self, images, train=False, keys=None):
    """Classifies normalised images."""
    how, out = self.execution, {}
    first = second = None
    if train and self.drop_path_rate > 0:
      factors = drop_path_factors(keys, drop_path_rates(self.drop_path_rate, self.depths))
      first, second = jnp.split(factors, [self.depths[0]])
    sides = (self.patch_size, self.patch_size)
    x = nn.Conv(self.dim, sides, sides, dtype=how.dtype, name="patches")(images)
    positions = self.param("positions", nn.initializers.normal(), (self.grid, self.grid, self.dim))
    assert x.shape[1:3] == positions.shape[:2]
    x += positions.astype(how.dtype)[None]
    mixer = functools.partial(DepthwiseConv, (3, 3), name="dwconv")
    block = functools.partial(Block, mixer, layer_scale_init=0.1)
    out["early"] = x = Stage(self.depths[0], block, how, name="early")(x, first)[-1]
    x = Mlp(2 * self.dim, how, name="between")(x)
    out["late"] = x = Stage(self.depths[1], block, how, name="late")(x, second)[-1]
    pooled = jnp.mean(x.astype(jnp.float32), axis=(1, 2))
    logits = nn.Dense(self.num_classes, name="addressee")(pooled) if self.num_classes else pooled
    return logits, out

  def features(self):
    """Lists both runs of blocks."""
    return tuple(FeatureInfo(name, self.dim, self.patch_size) for name in self.stacks())

  def stacks(self):
    """Gives the depth of both."""
    return {"early": self.depths[0], "late": self.depths[1]}

  def param_info(self, path):
    """Tells what a parameter is: every block is a layer."""
    part, _, rest = path.partition("/")
    if part == "positions":
      info = ParamInfo(Role.BIAS)
    elif path == "patches/kernel":
      info = ParamInfo(Role.STEM, fan_in_axis=-2)
    else:
      info = layer_param_info(path)
    first, second = self.depths
    start = {"patches": 0, "positions": 0, "early": 1, "between": 1 + first, "late": 2 + first}
    layer = start.get(part, 2 + first + second)
    if part in self.stacks():
      layer += int(rest.split("/")[0].removeprefix("block_"))
    num_layers = 3 + first + second
    return dataclasses.replace(info, head=part == "addressee", layer=layer, num_layers=num_layers)

  def adapt(self, path, value, shape):
    """Resizes the positions."""
    return jax.image.resize(value, shape, "linear") if path == "positions" else value

  def pictures(self, params):
    """Chooses the very first kernel."""
    kernel = params["early"]["block_0"]["dwconv"]["kernel"]
    return [Picture("First of all", "kernel", kernel[:, :, 0])]
