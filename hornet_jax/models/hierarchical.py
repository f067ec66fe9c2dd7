"""Hierarchical classifiers share a frame: a stem, stages on ever coarser grids, a head."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Num

from hornet_jax.errors import InputError
from hornet_jax.models.api import AnyArray, FeatureInfo, Picture
from hornet_jax.models.decay_layers import block_layers, stage_of
from hornet_jax.models.execution import Execution
from hornet_jax.models.layers import LayerNorm, drop_path_factors, drop_path_rates
from hornet_jax.models.parallel import constrain_batch
from hornet_jax.models.param_info import ParamInfo, Role, layer_param_info
from hornet_jax.models.stage import BlockConstructors, Stage
from hornet_jax.models.stem import Downsample, Stem
from hornet_jax.ops.layer_norm import EPSILON


class Hierarchical(nn.Module):
  """A `Hierarchical` model classifies images of any size that leaves every stage a grid.

  stem, stage_0, downsample_1, stage_1, ..., mean over H and W, norm, head.
  Stage s has width base_dim * 2^s; sizes are floored at every downsampling. A subclass says in
  `block` what its stages are made of, and may replace `make_downsample` and `pool`; all else is
  shared. With one stage the model is isotropic: all blocks work on the stem's grid.

  Source: arXiv 2201.03545 section 2; arXiv 2207.14284 section 3.3; official hornet.py, `HorNet`.

  Attributes:
    base_dim: width C of the first stage.
    depths: number of blocks of each stage.
    num_classes: number of classes K; 0 for no head: the logits are then `pre_logits`.
    patch_size: side and stride of the stem's convolution, in pixels.
    stem_norm: whether a norm follows that convolution.
    mlp_ratio: width inside the MLPs of the blocks, divided by C; a subclass hands it to them.
    drop_path_rate: drop probability of the last block, in [0, 1).
    head_init_scale: factor on the initial weights of the head.
    in_channels: number of channels that images must have; None for as many as those have for
      which the parameters are made.
    execution: the way in which it is computed; parameters and logits are float32.
  """

  base_dim: int
  depths: Sequence[int]
  num_classes: int = 1000
  patch_size: int = 4
  stem_norm: bool = True
  mlp_ratio: float = 4.0
  drop_path_rate: float = 0.0
  head_init_scale: float = 1.0
  in_channels: int | None = None
  execution: Execution = Execution()

  stage_fields: ClassVar[tuple[str, ...]] = ()
  """Names of the fields of a subclass that have one entry a stage, as `depths` has."""
  epsilon: ClassVar[float] = EPSILON
  """Number that the norms add to the variance."""

  def __post_init__(self) -> None:
    """Checks the fields when the model is made."""
    self.check_fields()
    super().__post_init__()

  def block(self, stage: int) -> BlockConstructors:
    """Gives the constructor of the equal blocks of a stage, or those that take turns.

    It is called with `execution` and `name`; the module that it makes maps (x, factors) to x
    [B, h, w, C]. `factors` are what drop path multiplies the block's two residual branches by,
    [2, B], or None in evaluation and without drop path: a block with one branch takes the first
    row. Blocks are not told whether they are trained: a layer that must know, such as batch
    normalization, needs an `Architecture` of its own.

    Args:
      stage: number of the stage, from 0.
    """
    raise NotImplementedError(f"{type(self).__name__} must define `block`: got none.")

  @nn.nowrap
  def make_stem(self) -> nn.Module:
    """Makes the module that is called on the images."""
    how = self.execution
    return Stem(self.base_dim, self.patch_size, self.stem_norm, self.epsilon, how, name="stem")

  @nn.nowrap
  def make_downsample(self, stage: int) -> nn.Module:
    """Makes the module that is called before a stage, other than the first."""
    return Downsample(self.base_dim * 2**stage, self.execution, name=f"downsample_{stage}")

  @nn.nowrap
  def pool(self, out: dict[str, Array]) -> Float[Array, "B C"]:
    """Makes the input of the head, in float32, from the intermediates of `run_stages`."""
    x = out[self.features()[-1].name]
    return LayerNorm(epsilon=self.epsilon, name="norm")(
      jnp.mean(x.astype(jnp.float32), axis=(1, 2))
    )

  def layer(self, path: str) -> tuple[int, int] | None:
    """Gives the number of a parameter's layer for layer decay, and the number of layers.

    None where the architecture has no layers; see `hornet_jax.models.decay_layers`.
    """
    return block_layers(path, self.depths) if len(self.depths) == 1 else None

  @nn.compact
  def __call__(
    self,
    images: Num[Array, "B H W C"],
    train: bool = False,
    keys: Key[Array, "B"] | None = None,
  ) -> tuple[Float[Array, "B K"], dict[str, Array]]:
    """Classifies normalised images.

    Args:
      images: normalised images, floating point.
      train: whether blocks are dropped at random.
      keys: one random key per example; needed when `train` and drop_path_rate > 0. Where they
        are None, Flax's `rngs={"drop_path": key}` is split into them.

    Returns:
      Logits, and a dictionary of every named intermediate: `stem`, `stage_s` and, without
      `scan`, each `stage_s/block_i` [B, h, w, C], `pre_logits` [B, C] (pooled and normed),
      `logits` [B, K]. Under `jit`, those that the jitted function does not return cost nothing.

    Raises:
      InputError: if the image is too small for the stages, a field is out of range, `keys` is
        missing or the parameters are those of other blocks.
    """
    out = self.run_stages(images, train, keys, len(self.depths))
    out["pre_logits"] = self.pool(out)
    if not self.num_classes:
      return out["pre_logits"], out
    kernel_init = nn.initializers.normal(0.02 * self.head_init_scale)
    logits = nn.Dense(self.num_classes, kernel_init=kernel_init, name="head")(out["pre_logits"])
    out["logits"] = constrain_batch(logits, self.execution.batch_axes)
    return out["logits"], out

  @nn.nowrap
  def run_stages(
    self,
    images: Num[Array, "B H W C"],
    train: bool,
    keys: Key[Array, "B"] | None,
    num_stages: int,
  ) -> dict[str, Array]:
    """Runs the stem and the first stages.

    The layers become parts of the module whose compact method calls this, so that a classifier
    and a `FeatureMaps` of it have the same parameter paths.

    Args:
      images: normalised images, floating point.
      train: whether blocks are dropped at random.
      keys: one random key per example or None, see `__call__`.
      num_stages: number of stages; later ones are not computed and have no parameters.

    Returns:
      The intermediates [B, h, w, C] by name, see `__call__`.

    Raises:
      InputError: if `__call__` would raise it.
    """
    self.check_images(images)
    factors = self.drop_path(keys, images.shape[0]) if train else [None] * len(self.depths)
    how = self.execution
    images = constrain_batch(images, how.batch_axes)
    x = self.make_stem()(images)
    out = {"stem": x}
    for s in range(num_stages):
      if s > 0:
        x = self.make_downsample(s)(x)
      stage = Stage(self.depths[s], self.block(s), how, name=f"stage_{s}")
      blocks = stage(constrain_batch(x, how.batch_axes), factors[s])
      if not how.scan:
        out.update({f"stage_{s}/block_{i}": output for i, output in enumerate(blocks)})
      x = out[f"stage_{s}"] = blocks[-1]
    return out

  @nn.nowrap
  def drop_path(self, keys: Key[Array, "B"] | None, batch: int) -> Sequence[Array | None]:
    """Draws the factors of the blocks of each stage; None for a stage that keeps all."""
    if self.drop_path_rate == 0:
      return [None] * len(self.depths)
    if keys is None and self.has_rng("drop_path"):
      keys = jax.random.split(self.make_rng("drop_path"), batch)
    if keys is None:
      raise InputError(
        "`keys` must be given to train with drop path: expected one random key per "
        "example, got None. Hint: jax.random.split(key, batch_size)."
      )
    starts = [sum(self.depths[: s + 1]) for s in range(len(self.depths) - 1)]
    rates = drop_path_rates(self.drop_path_rate, self.depths)
    return jnp.split(drop_path_factors(keys, rates), starts)

  def features(self) -> tuple[FeatureInfo, ...]:
    """Lists the outputs of the stages."""
    return tuple(
      FeatureInfo(f"stage_{s}", self.base_dim * 2**s, self.patch_size * 2**s)
      for s in range(len(self.depths))
    )

  def stacks(self) -> dict[str, int]:
    """Gives the depth of each stage."""
    return {f"stage_{s}": depth for s, depth in enumerate(self.depths)}

  def param_info(self, path: str) -> ParamInfo:
    """Tells what a parameter is."""
    info = layer_param_info(path)
    part = path.partition("/")[0]
    if part == "stem" and info.role is Role.MATRIX:
      info = dataclasses.replace(info, role=Role.STEM)
    layer, num_layers = self.layer(path) or (None, 0)
    return dataclasses.replace(
      info,
      head=part == "head",
      layer=layer,
      num_layers=num_layers,
      stage=stage_of(part),
    )

  def adapt(self, path: str, value: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    """Returns the value as it is: here no parameter depends on the image size."""
    del path, shape
    return value

  def pictures(self, params: Mapping[str, Any]) -> list[Picture]:
    """Chooses nothing; an architecture with filters worth seeing overrides it."""
    del params
    return []

  def intermediate_names(self) -> list[str]:
    """Lists the names in the second value of `__call__`, in the order of computation."""
    names = ["stem"]
    for s, depth in enumerate(self.depths):
      blocks = [] if self.execution.scan else [f"stage_{s}/block_{i}" for i in range(depth)]
      names += [*blocks, f"stage_{s}"]
    return [*names, "pre_logits", *(["logits"] if self.num_classes else [])]

  def grids(self, height: int, width: int) -> list[tuple[int, int]]:
    """Gives (h, w) of the features of every stage for images of `height` x `width`."""
    sides = [(height // self.patch_size, width // self.patch_size)]
    for _ in self.depths[1:]:
      sides.append((sides[-1][0] // 2, sides[-1][1] // 2))
    return sides

  def check_fields(self) -> None:
    """Raises `InputError` where a field is out of range or contradicts another."""
    names = ("depths", *self.stage_fields)
    lengths = [len(getattr(self, name)) for name in names]
    if len(set(lengths)) != 1:
      *first, last = (f"`{name}`" for name in names)
      raise InputError(
        f"{', '.join(first)} and {last} must have one entry a stage: expected equal lengths, got "
        f"{', '.join(map(str, lengths[:-1]))} and {lengths[-1]}."
      )
    if not isinstance(self.num_classes, int) or self.num_classes < 0:
      raise InputError(
        "`num_classes` must be a whole number: expected at least 1, or 0 for no head, got "
        f"{self.num_classes}."
      )
    for name in ("base_dim", "patch_size"):
      if getattr(self, name) < 1:
        raise InputError(
          f"`{name}` must be positive: expected at least 1, got {getattr(self, name)}."
        )
    if min(self.depths, default=0) < 1:
      raise InputError(f"`depths` must be positive: expected at least 1, got {self.depths}.")
    if not 0 <= self.drop_path_rate < 1:
      raise InputError(
        f"`drop_path_rate` must be in [0, 1): expected a probability, got {self.drop_path_rate}."
      )

  def check_images(self, images: Array) -> None:
    """Raises `InputError` where the images are not [B, H, W, C], floating point or too small."""
    if images.ndim != 4:
      raise InputError(f"`images` must be [B, H, W, C]: expected 4 axes, got {images.shape}.")
    if not jnp.issubdtype(images.dtype, jnp.floating):
      raise InputError(
        f"`images` must be normalised: expected floating point, got {images.dtype}. "
        "Hint: hornet_jax.data.pixels.normalize.normalize."
      )
    if self.in_channels not in (None, images.shape[3]):
      raise InputError(
        f"`images` must be of {self.in_channels} channels, as `in_channels` says: expected "
        f"[B, H, W, {self.in_channels}], got {images.shape}."
      )
    height, width = images.shape[1:3]
    for s, grid in enumerate(self.grids(height, width)):
      if 0 in grid:
        smallest = self.patch_size * 2 ** (len(self.depths) - 1)
        raise InputError(
          f"`images` must leave every stage a grid: expected [B, H, W, C] of at least "
          f"{smallest}x{smallest} for patch_size {self.patch_size}, got {height}x{width}, of "
          f"which stage {s} has nothing left. Hint: use larger images or a smaller patch_size."
        )
