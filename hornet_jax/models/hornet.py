"""HorNet: four stages of gnConv blocks."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key, Num

from hornet_jax.errors import InputError
from hornet_jax.models.blocks import Downsample, Stem
from hornet_jax.models.dense import check_gradient_sum
from hornet_jax.models.gnconv import SpatialFilter
from hornet_jax.models.layers import LayerNorm, drop_path_factors, drop_path_rates
from hornet_jax.models.parallel import constrain_batch
from hornet_jax.models.stage import Stage, check_remat
from hornet_jax.ops.fourier import check_fourier


class HorNet(nn.Module):
  """A HorNet classifier for images of any size that leaves every stage a grid.

  stem, stage_0, downsample_1, stage_1, ..., stage_3, mean over H and W, norm, head.
  Stage s has width base_dim * 2^s; sizes are floored at every downsampling.

  Source: arXiv 2207.14284 section 3.3; official hornet.py, `HorNet`.

  Attributes:
    num_classes: K, width of the head; 0 for no head: the logits are then `pre_logits`.
    base_dim: C of the first stage.
    depths: blocks of each stage.
    orders: gnConv order of each stage.
    filters: spatial filter of each stage: such as `"7x7"`, or a spectral size (h, w)
      where w = W // 2 + 1 of the stage's grid at the intended image size.
    scale: s, multiplies the output of every spatial filter.
    layer_scale_init: initial layer scale; 0 or None for none.
    drop_path_rate: drop probability of the last block, in [0, 1).
    global_filter: implementation of its transforms, see `hornet_jax.ops.fourier`.
    dtype: type of the computation; parameters and logits are float32.
    patch_size: side and stride of the stem's convolution; 4 in the paper.
    head_init_scale: factor on the initial head.
    remat: what of each block is recomputed in the backward pass, see `REMAT`.
    scan: compile the equal blocks of a stage once, see `Stage`.
    depthwise: implementation of depthwise convolutions, see
      `hornet_jax.ops.depthwise_conv`.
    batch_axes: mesh axes that the rows of a batch are spread over, see `constrain_batch`.
    gather: whether kernels lie in parts on the devices, see `gather_kernels`; needs `scan`.
    gradient_sum: `"compute"`: gradients of linear kernels are computed, and summed over
      devices, in `dtype`; `"float32"`: in float32.
  """

  num_classes: int = 1000
  base_dim: int = 64
  depths: Sequence[int] = (2, 3, 18, 2)
  orders: Sequence[int] = (2, 3, 4, 5)
  filters: Sequence[SpatialFilter] = ("7x7", "7x7", "7x7", "7x7")
  scale: float = 1 / 3
  layer_scale_init: float | None = 1e-6
  drop_path_rate: float = 0.0
  global_filter: str = "dft"
  dtype: DTypeLike = jnp.float32
  patch_size: int = 4
  head_init_scale: float = 1.0
  remat: str = "none"
  scan: bool = False
  depthwise: str = "auto"
  batch_axes: Sequence[str] = ()
  gather: bool = False
  gradient_sum: str = "compute"

  @nn.compact
  def __call__(
    self,
    images: Num[Array, "B H W C"],
    train: bool = False,
    keys: Key[Array, "B"] | None = None,
  ) -> tuple[Float[Array, "B K"], dict[str, Array]]:
    """Classifies normalised images.

    Args:
      images: normalised images.
      train: whether blocks are dropped at random.
      keys: one random key per example; needed when `train` and drop_path_rate > 0.

    Returns:
      Logits, and a dictionary of every named intermediate: `stem`, `stage_s` and, without
      `scan`, each `stage_s/block_i` [B, h, w, C], `pre_logits` [B, C] (pooled and normed),
      `logits` [B, K]. Under `jit`, those that the jitted function does not return cost nothing.

    Raises:
      InputError: if the image is too small for the stages, stage lists differ in
        length, the drop rate is out of range, `keys` is missing or the parameters are
        those of other blocks.
    """
    out = run_stages(self, images, train, keys, len(self.depths))
    x = out[f"stage_{len(self.depths) - 1}"]
    pooled = jnp.mean(x.astype(jnp.float32), axis=(1, 2))  # [B, C]
    out["pre_logits"] = LayerNorm(jnp.float32, name="norm")(pooled)
    if not self.num_classes:
      return out["pre_logits"], out
    logits = head(self.num_classes, self.head_init_scale)(out["pre_logits"])
    out["logits"] = constrain_batch(logits, self.batch_axes)
    return out["logits"], out

  def intermediate_names(self) -> list[str]:
    """What the second value of `__call__` holds, in the order of computation."""
    names = ["stem"]
    for s, depth in enumerate(self.depths):
      blocks = [] if self.scan else [f"stage_{s}/block_{i}" for i in range(depth)]
      names += [*blocks, f"stage_{s}"]
    return [*names, "pre_logits", *(["logits"] if self.num_classes else [])]

  def grids(self, height: int, width: int) -> list[tuple[int, int]]:
    """(h, w) of the features of every stage for images of `height` x `width`."""
    sides = [(height // self.patch_size, width // self.patch_size)]
    for _ in self.depths[1:]:
      sides.append((sides[-1][0] // 2, sides[-1][1] // 2))
    return sides

  def check_fields(self) -> None:
    """Raises `InputError` where a field is out of range or contradicts another."""
    lengths = {len(self.depths), len(self.orders), len(self.filters)}
    if len(lengths) != 1:
      raise InputError(
        "`depths`, `orders` and `filters` must have one entry a stage: expected equal "
        f"lengths, got {len(self.depths)}, {len(self.orders)} and {len(self.filters)}."
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
    if min(self.depths) < 1:
      raise InputError(f"`depths` must be positive: expected at least 1, got {self.depths}.")
    if not 0 <= self.drop_path_rate < 1:
      raise InputError(
        f"`drop_path_rate` must be in [0, 1): expected a probability, got {self.drop_path_rate}."
      )
    check_fourier(self.global_filter)
    check_remat(self.remat)
    check_gradient_sum(self.gradient_sum)
    if self.gather and not self.scan:
      raise InputError("`gather` must come with `scan`: expected scan=True, got False.")

  def check_images(self, images: Array) -> None:
    """Raises `InputError` where the model cannot take the images."""
    if images.ndim != 4:
      raise InputError(f"`images` must be [B, H, W, C]: expected 4 axes, got {images.shape}.")
    if not jnp.issubdtype(images.dtype, jnp.floating):
      raise InputError(
        f"`images` must be normalised: expected floating point, got {images.dtype}. "
        "Hint: hornet_jax.data.normalize.normalize."
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


def run_stages(
  model: HorNet,
  images: Num[Array, "B H W C"],
  train: bool,
  keys: Key[Array, "B"] | None,
  num_stages: int,
) -> dict[str, Array]:
  """The stem and the first stages of `model`, to be called in a compact method.

  A function, not a method, so that the parts become children of the module that calls:
  a classifier and a feature extractor then have the same parameter paths.

  Args:
    model: what to build; only its fields are used.
    images: normalised images.
    train: see `HorNet.__call__`.
    keys: see `HorNet.__call__`.
    num_stages: later stages are neither computed nor have parameters.

  Returns:
    The intermediates [B, h, w, C] by name, see `HorNet.__call__`.

  Raises:
    InputError: as `HorNet.__call__`.
  """
  model.check_fields()
  model.check_images(images)
  factors: Sequence[Array | None] = [None] * len(model.depths)
  if train and model.drop_path_rate > 0:
    if keys is None:
      raise InputError(
        "`keys` must be given to train with drop path: expected one random key per "
        "example, got None. Hint: jax.random.split(key, batch_size)."
      )
    starts = [sum(model.depths[: s + 1]) for s in range(len(model.depths) - 1)]
    rates = drop_path_rates(model.drop_path_rate, model.depths)
    factors = jnp.split(drop_path_factors(keys, rates), starts)

  out = {}
  images = constrain_batch(images, model.batch_axes)
  x = Stem(model.base_dim, model.patch_size, model.dtype, name="stem")(images)
  out["stem"] = x
  for s in range(num_stages):
    if s > 0:
      x = Downsample(model.base_dim * 2**s, model.dtype, name=f"downsample_{s}")(x)
    block = {
      "order": model.orders[s],
      "filter": model.filters[s],
      "scale": model.scale,
      "layer_scale_init": model.layer_scale_init,
      "global_filter": model.global_filter,
      "depthwise": model.depthwise,
      "dtype": model.dtype,
      "gradient_sum": model.gradient_sum,
      "interleave": model.gather,
    }
    stage = Stage(
      model.depths[s],
      block,
      model.remat,
      model.scan,
      model.batch_axes,
      model.gather,
      name=f"stage_{s}",
    )
    blocks = stage(constrain_batch(x, model.batch_axes), factors[s])
    if not model.scan:
      out.update({f"stage_{s}/block_{i}": output for i, output in enumerate(blocks)})
    x = out[f"stage_{s}"] = blocks[-1]
  return out


def head(num_classes: int, init_scale: float) -> nn.Dense:
  """The classifier: a linear layer in float32 with bias."""
  return nn.Dense(num_classes, kernel_init=nn.initializers.normal(0.02 * init_scale), name="head")
