"""Feature maps, and masks, are sampled within boxes on a small grid (RoIAlign)."""

import functools
from collections.abc import Sequence
from typing import Literal, get_args

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from hornet_jax.dense.boxes.overlap import area
from hornet_jax.errors import InputError, unknown_name

Implementation = Literal["auto", "product", "gather"]

_FINEST = 56  # pixels: boxes of twice this side and more are of the second level and beyond
_LEAST_SIDE = 1e-3  # pixels; boxes that are padding have no sides


def level_of(boxes: Float[Array, "R 4"], levels: int) -> Int[Array, "R"]:
  """The feature map of which each box is sampled: one level coarser where a side doubles.

  Source: Feature Pyramid Networks (arXiv 1612.03144, equation 1); mmdet `SingleRoIExtractor`.

  Args:
    boxes: corners (x0, y0, x1, y1) in pixels.
    levels: number of feature maps, the finest of which is 0.
  """
  level = jnp.floor(jnp.log2(jnp.sqrt(area(boxes)) / _FINEST + 1e-6))
  return jnp.clip(level, 0, levels - 1).astype(jnp.int32)


def roi_align(
  maps: Sequence[Float[Array, "_ _ C"]],
  strides: Sequence[int],
  boxes: Float[Array, "R 4"],
  output: int,
  sampling: int = 2,
  chunk: int = 32,
  implementation: str = "auto",
) -> Float[Array, "R P P C"]:
  """Averages of bilinear samples of a feature map, in P x P bins of each box.

  Each box is sampled of the map that `level_of` names. The centre of position i of a map lies at
  i + 1/2 strides. Samples up to one position beyond a map take its border's value, those beyond
  are 0. Gradients go to the maps, not to the boxes.

  `"product"` weighs the rows and then the columns of all maps by matrices: work for matrix units,
  most of it with zeros, whose gradients are sums in a fixed order. `"gather"` reads the positions
  around each sample, which is far less, and adds gradients to them one by one.

  Source: Mask R-CNN (arXiv 1703.06870); torchvision `roi_align` with `aligned=True`.
  Deviation: a fixed number of samples; mmdet's default (`sampling_ratio=0`) depends on the size of
  the box.

  Args:
    maps: feature maps [h, w, C] of one image, the finest first.
    strides: pixels from one position to the next of each map.
    boxes: corners (x0, y0, x1, y1) in pixels.
    output: number P of bins along each side.
    sampling: samples of a bin along each side.
    chunk: number of boxes that are sampled together, each of which needs memory for P rows of
      every map, or for the positions around its samples.
    implementation: method: `"product"`, `"gather"` or `"auto"`: `"gather"` on CPU, `"product"`
      elsewhere. Both give the same numbers to float32 rounding, forward and backward.

  Raises:
    InputError: if there are not as many strides as maps, a number is not positive, or the
      implementation is unknown.
  """
  if len(maps) != len(strides) or not maps:
    raise InputError(
      f"`strides` must have one number for each feature map: got {len(strides)} for {len(maps)}."
    )
  if min(output, sampling, chunk) < 1:
    raise InputError(
      f"`output`, `sampling` and `chunk` must be at least 1: got {output}, {sampling} and {chunk}."
    )
  if implementation not in get_args(Implementation):
    raise unknown_name("RoIAlign implementation", implementation, get_args(Implementation))
  boxes = lax.stop_gradient(boxes).astype(jnp.float32)
  arguments = maps, boxes, level_of(boxes, len(maps))
  multiplied, gathered = (
    functools.partial(method, tuple(strides), output, sampling, chunk)
    for method in (_multiplied, _gathered)
  )
  if implementation == "auto":
    return lax.platform_dependent(*arguments, cpu=gathered, default=multiplied)
  return {"product": multiplied, "gather": gathered}[implementation](*arguments)


def crop_masks(
  masks: Float[Array, "R m m"],
  boxes: Float[Array, "R 4"],
  rois: Float[Array, "R 4"],
  output: int,
  sampling: int = 2,
) -> Float[Array, "R P P"]:
  """Shares of an object in P x P bins of each box of interest, from a bitmap of the object's box.

  They are averages of bilinear samples as those of `roi_align`, but nothing lies beyond the bitmap:
  samples half a pixel of it beyond its border are half of the border's value.

  Source: mmdet `BitmapMasks.crop_and_resize`, which crops bitmaps of whole images.

  Args:
    masks: shares of the object in the pixels of its bitmap, whose extent is the object's box.
    boxes: corners (x0, y0, x1, y1) of the objects in pixels.
    rois: corners of the boxes of interest, one for each object.
    output: number P of bins along each side.
    sampling: samples of a bin along each side.
  """
  m = masks.shape[-1]
  corner = jnp.tile(boxes[:, :2], 2)
  sides = jnp.maximum(jnp.tile(boxes[:, 2:] - boxes[:, :2], 2), _LEAST_SIDE)
  y, x = _places((rois - corner) / sides * m, output * sampling)
  found = _product("rph,rhw->rpw", _weights(y, m, output), masks)
  return _product("rqw,rpw->rpq", _weights(x, m, output), found)


def _multiplied(
  strides: Sequence[int],
  output: int,
  sampling: int,
  chunk: int,
  maps: Sequence[Array],
  boxes: Array,
  levels: Array,
) -> Array:
  def sampled(box_and_level: tuple[Array, Array]) -> Array:
    box, level = box_and_level
    total = jnp.zeros((output, output, maps[0].shape[-1]), jnp.float32)
    for i, (features, stride) in enumerate(zip(maps, strides, strict=True)):
      height, width, _ = features.shape
      y, x = _places(box / stride, output * sampling)
      rows = _weights(_bordered(y, height), height, output)
      columns = _weights(_bordered(x, width), width, output)
      rows = jnp.where(level == i, rows, 0)  # the other levels add nothing
      found = _product("ph,hwc->pwc", rows, features)
      total += _product("qw,pwc->pqc", columns, found).astype(jnp.float32)
    return total.astype(maps[0].dtype)

  return lax.map(sampled, (boxes, levels), batch_size=chunk)


def _gathered(
  strides: Sequence[int],
  output: int,
  sampling: int,
  chunk: int,
  maps: Sequence[Array],
  boxes: Array,
  levels: Array,
) -> Array:
  shapes = np.array([features.shape[:2] for features in maps])
  first = jnp.asarray(np.cumsum([0, *shapes.prod(axis=1)[:-1]]))
  heights, widths = jnp.asarray(shapes.T)
  positions = jnp.concatenate([features.reshape(-1, features.shape[-1]) for features in maps])

  def sampled(box_and_level: tuple[Array, Array]) -> Array:
    box, level = box_and_level
    y, x = _places(box / jnp.asarray(strides, jnp.float32)[level], output * sampling)
    rows, of_rows = _neighbours(y, heights[level], output)
    columns, of_columns = _neighbours(x, widths[level], output)
    found = positions[first[level] + rows[..., None, None] * widths[level] + columns[None, None]]
    found = _product("pa,paqbc->pqbc", of_rows, found)
    return _product("qb,pqbc->pqc", of_columns, found)

  return lax.map(sampled, (boxes, levels), batch_size=chunk)


def _places(box: Array, many: int) -> tuple[Array, Array]:
  """Rows and columns of a box's samples, in positions of a map, whose centres are whole numbers."""
  steps = (jnp.arange(many, dtype=jnp.float32) + 0.5) / many
  steps = steps.reshape((1,) * (box.ndim - 1) + (many,))
  x0, y0, x1, y1 = jnp.moveaxis(box[..., None], -2, 0)  # [..., 1]
  return y0 + steps * (y1 - y0) - 0.5, x0 + steps * (x1 - x0) - 0.5


def _bordered(places: Array, size: int | Array) -> Array:
  """Places up to one position beyond the border moved to it; those further, to where nothing is."""
  inside = (places >= -1) & (places <= size)
  return jnp.where(inside, jnp.clip(places, 0, size - 1), -2.0)


def _weights(places: Array, size: int, output: int) -> Array:
  """How much each of `size` positions counts in each bin: [..., P, size]."""
  positions = jnp.arange(size, dtype=jnp.float32).reshape((1,) * places.ndim + (size,))
  linear = jnp.maximum(1 - jnp.abs(places[..., None] - positions), 0)
  return linear.reshape((*places.shape[:-1], output, -1, size)).mean(axis=-2)


def _neighbours(places: Array, size: Array, output: int) -> tuple[Array, Array]:
  """Positions on both sides of each place, and how much they count in its bin: [P, 2 samples]."""
  place = _bordered(places, size)
  before = jnp.clip(jnp.floor(place), 0, size - 1)
  share = place - before
  positions = jnp.stack([before, jnp.minimum(before + 1, size - 1)], axis=-1)
  weights = jnp.stack([1 - share, share], axis=-1) * (place >= 0)[:, None]
  sampling = len(places) // output
  return positions.astype(jnp.int32).reshape(output, -1), weights.reshape(output, -1) / sampling


def _product(equation: str, weights: Array, values: Array) -> Array:
  """A product whose float32 is that of the CPU on every device."""
  weights = weights.astype(values.dtype)
  return jnp.einsum(equation, weights, values, precision=lax.Precision.HIGHEST)
