"""This module does random erasing, on the device: a rectangle of an image becomes noise."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

_OPERATION = (1 << 20) + 1  # folded into a row's key: its other draws are others'
_TRIES = 10
_AREA = (0.02, 1 / 3)
_ASPECT = (0.3, 1 / 0.3)


def random_erase(
  keys: Key[Array, "B"], images: Float[Array, "B H W C"], rate: float
) -> Float[Array, "B H W C"]:
  """Replaces, with probability `rate`, one rectangle of each image by N(0, 1) per value.

  Its area is 2 % to a third of the image, its aspect 0.3 to 1 / 0.3, log-uniform. After
  ten rectangles that do not fit, the image stays as it is.

  Source: timm 0.4.12 `RandomErasing`, mode `pixel`, one rectangle.

  Args:
    keys: random keys, one per row.
    images: normalised images; an erased value looks like any other.
    rate: probability of erasing, in [0, 1); 0 for none.
  """
  if rate == 0:
    return images

  def erase_one(key: Key[Array, ""], image: Float[Array, "H W C"]) -> Float[Array, "H W C"]:
    applied, where, noise = jax.random.split(jax.random.fold_in(key, _OPERATION), 3)
    height, width, _ = image.shape
    top, bottom, left, right = _draw_box(where, (height, width))
    y, x = jnp.arange(height)[:, None, None], jnp.arange(width)[None, :, None]
    erased = (y >= top) & (y < bottom) & (x >= left) & (x < right)
    erased &= jax.random.bernoulli(applied, rate)
    return jnp.where(erased, jax.random.normal(noise, image.shape, image.dtype), image)

  return jax.vmap(erase_one)(keys, images)


def _draw_box(key: Key[Array, ""], size: tuple[int, int]) -> Int[Array, "4"]:
  """Draws top, bottom, left and right of the first rectangle that fits; empty where none does."""
  height, width = size
  for_area, for_aspect, for_top, for_left = jax.random.split(key, 4)
  area = jax.random.uniform(for_area, (_TRIES,), minval=_AREA[0], maxval=_AREA[1])
  low, high = jnp.log(jnp.array(_ASPECT))
  aspect = jnp.exp(jax.random.uniform(for_aspect, (_TRIES,), minval=low, maxval=high))
  h = jnp.round(jnp.sqrt(area * height * width * aspect)).astype(jnp.int32)
  w = jnp.round(jnp.sqrt(area * height * width / aspect)).astype(jnp.int32)
  fits = (h < height) & (w < width)
  first = jnp.argmax(fits)
  h, w = h[first] * fits[first], w[first] * fits[first]
  top = jax.random.randint(for_top, (), 0, height - h + 1)
  left = jax.random.randint(for_left, (), 0, width - w + 1)
  return jnp.stack([top, top + h, left, left + w])
