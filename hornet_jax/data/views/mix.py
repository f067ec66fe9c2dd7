"""This module does mixup and cutmix: it makes one training image of two, on the device.

Rows are mixed within groups of `group_size` neighbours, each with its own ratio, with the
group's rows in reverse order. The official recipe's group is the batch of one GPU. A group
lies on one device, so that no image travels from one to another.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from hornet_jax.errors import InputError
from hornet_jax.wording import counted

_OPERATION = 1 << 20  # folded into a row's key: its other draws are others'


@dataclasses.dataclass(frozen=True)
class MixSettings:
  """`MixSettings` are the distributions that the mix of each group is drawn from.

  Attributes:
    mixup_alpha: parameter of Beta(alpha, alpha), which ratios of mixup come from; 0 for no mixup.
    cutmix_alpha: parameter of the same for cutmix; 0 for no cutmix.
    rate: probability that a group is mixed at all.
    switch_rate: probability of cutmix, where both are on.
    group_size: number of rows of a group, even.
  """

  mixup_alpha: float
  cutmix_alpha: float
  rate: float
  switch_rate: float
  group_size: int

  @property
  def active(self) -> bool:
    """Returns whether anything is mixed."""
    return self.rate > 0 and (self.mixup_alpha > 0 or self.cutmix_alpha > 0)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Mix:
  """A `Mix` was drawn for one group, or for each of R groups.

  Attributes:
    ratio: share of each row's own image and label; the rest is its partner's.
    is_cutmix: whether pixels are replaced in `box` instead of averaged.
    box: top, bottom, left and right in pixels, the ends excluded.
  """

  ratio: Float[Array, "*R"]
  is_cutmix: Bool[Array, "*R"]
  box: Int[Array, "*R 4"]


def check_mixing(settings: MixSettings, batch_size: int, num_devices: int) -> None:
  """Raises `InputError` where groups would not lie within one device's rows.

  Args:
    settings: settings of the mixing.
    batch_size: rows of the global batch, or of a micro-batch.
    num_devices: number of devices that the rows are spread over.
  """
  rows = batch_size // num_devices
  if settings.active and (settings.group_size % 2 or rows % settings.group_size):
    smaller = [size for size in range(2, rows + 1, 2) if rows % size == 0]
    near = max((size for size in smaller if size <= settings.group_size), default=None)
    hint = (
      f"--config.mix.group_size={near} is possible, the official groups are 128, 64 or 32 rows"
      if near
      else "--config.mix.rate=0.0 mixes nothing, or choose a batch of even rows on each device"
    )
    raise InputError(
      "`mix.group_size` must be even and divide the rows of a batch on one device: expected "
      f"a divisor of {rows} ({batch_size} rows on {counted(num_devices, 'device')}), got "
      f"{settings.group_size}. Hint: {hint}."
    )


def draw_mix(keys: Key[Array, "B"], image_size: tuple[int, ...], settings: MixSettings) -> Mix:
  """Draws the mix of each group, from the key of its first row.

  Source: timm 0.4.12 `Mixup._params_per_batch`, `rand_bbox`.

  Args:
    keys: random keys, one per row.
    image_size: (H, W) in pixels.
    settings: distributions to draw from.
  """

  def draw_one(key: Key[Array, ""]) -> Mix:
    key = jax.random.fold_in(key, _OPERATION)
    applied, switched, mixing, center = jax.random.split(key, 4)
    is_cutmix = jnp.bool(settings.cutmix_alpha > 0)
    if settings.mixup_alpha > 0 and settings.cutmix_alpha > 0:
      is_cutmix = jax.random.bernoulli(switched, settings.switch_rate)
    ratio = _symmetric_beta(
      mixing, jnp.where(is_cutmix, settings.cutmix_alpha, settings.mixup_alpha)
    )
    ratio = jnp.where(jax.random.bernoulli(applied, settings.rate), ratio, 1.0)
    box = cutmix_box(ratio, jax.random.uniform(center, (2,)), image_size)
    return Mix(jnp.where(is_cutmix, _kept_share(box, image_size), ratio), is_cutmix, box)

  # One after the other: a batched rejection sampler on sharded rows would have all devices
  # agree when to end.
  return jax.lax.map(draw_one, keys[:: settings.group_size])


def _symmetric_beta(key: Key[Array, ""], alpha: Float[Array, ""]) -> Float[Array, ""]:
  """Draws x / (x + y), both from Gamma(alpha), in one loop; `jax.random.beta` compiles two."""
  log_x, log_y = jax.random.loggamma(key, alpha, (2,))
  return jax.nn.sigmoid(log_x - log_y)


def cutmix_box(
  ratio: Float[Array, ""], center: Float[Array, "2"], image_size: tuple[int, ...]
) -> Int[Array, "4"]:
  """Returns the box that leaves about `ratio` of the image, clipped to the image.

  Its sides are floor(side * sqrt(1 - ratio)), less one pixel where odd.

  Source: timm 0.4.12 `rand_bbox`. Newer versions keep the odd pixel.

  Args:
    ratio: share of the image outside an unclipped box.
    center: centre of the box, as fractions of height and width in [0, 1).
    image_size: (H, W) in pixels.

  Returns:
    Top, bottom, left and right in pixels, the ends excluded.
  """
  edges = []
  for side, position in zip(image_size, center, strict=True):
    middle = jnp.floor(position * side).astype(jnp.int32)
    half = jnp.floor(side * jnp.sqrt(1 - ratio)).astype(jnp.int32) // 2
    edges += [jnp.clip(middle - half, 0, side), jnp.clip(middle + half, 0, side)]
  return jnp.stack(edges)


def _kept_share(box: Int[Array, "4"], image_size: tuple[int, ...]) -> Float[Array, ""]:
  """Returns the share of the image outside a clipped box."""
  top, bottom, left, right = box
  return 1 - (bottom - top) * (right - left) / (image_size[0] * image_size[1])


def mix_batch(
  images: Float[Array, "B H W C"],
  targets: Float[Array, "B K"],
  weights: Float[Array, "B"],
  mix: Mix,
) -> tuple[Float[Array, "B H W C"], Float[Array, "B K"], Float[Array, "B"]]:
  """Mixes each row with its partner, the same row of the group counted from its end.

  A row whose partner must not count (weight 0, an undecodable image) stays as it is.

  Source: timm 0.4.12 `Mixup`, mode `batch`, applied to each group.

  Args:
    images: normalised images.
    targets: probabilities of the classes.
    weights: weights of the rows, 0 where they must not count.
    mix: draws, one for each of the R groups of B / R rows.

  Returns:
    The mixed images and targets, and the share of each row's own label.
  """
  rows = images.shape[0] // mix.ratio.shape[0]

  def partner(values: Array) -> Array:
    grouped = values.reshape(-1, rows, *values.shape[1:])
    return grouped[:, ::-1].reshape(values.shape)

  def per_row(values: Array) -> Array:
    return jnp.repeat(values, rows, axis=0)

  ratio = jnp.where(partner(weights) > 0, per_row(mix.ratio), 1.0)
  # 0 inside the box of a mixed row; [B, H, W]
  outside = jnp.where((ratio < 1)[:, None, None], ~_inside(per_row(mix.box), images.shape[1:3]), 1)
  own = jnp.where(per_row(mix.is_cutmix)[:, None, None], outside, ratio[:, None, None])[..., None]
  mixed = own * images + (1 - own) * partner(images)
  return mixed, ratio[:, None] * targets + (1 - ratio[:, None]) * partner(targets), ratio


def _inside(box: Int[Array, "B 4"], size: tuple[int, ...]) -> Bool[Array, "B H W"]:
  top, bottom, left, right = (edge[:, None] for edge in box.T)
  y, x = (jnp.arange(side)[None] for side in size)
  return ((y >= top) & (y < bottom))[:, :, None] & ((x >= left) & (x < right))[:, None, :]
