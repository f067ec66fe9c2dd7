"""Scores of windows become scores of the pixels of an image: averaged where windows overlap.

Enlarging the scores of a window, averaging windows and resizing the scaled image to its own size
are linear, and each is a product of one map of rows and one of columns. So the score of a pixel is
a sum over windows of products with two small matrices, and no array of the size of the scaled
image is made.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, UInt8

from hornet_jax.data.views.masks import IGNORED
from hornet_jax.data.views.windows import Windows

TILE = (32, 128)
"""Height and width of the parts of an image that are classified one after the other."""

Corner = tuple[Int[Array, ""] | int, Int[Array, ""] | int]
"""First row and column of a part of an image."""


def score_windows(
  run: Callable[[Array], Float[Array, "B s s K"]],
  batch: Mapping[str, Array],
  windows: Windows,
) -> Float[Array, "B N s s K"]:
  """Runs a network on the windows of images, as many times as the image with most windows needs.

  Args:
    run: function from one window of each image, uint8 [B, S, S, 3], to scores of a coarser grid.
    batch: what `Windows.cut` made of each image, with a leading axis B.
    windows: how they were cut.

  Returns:
    The scores of each place, flipped back; without meaning where a place has no window.
  """
  images = batch["image"]
  valid = batch["starts"][:, :, 0] >= 0
  order = jnp.argsort(~valid, axis=1)  # stable: places with a window first
  flipped = jnp.concatenate(
    [
      jnp.full(len(places), scaling.flip)
      for scaling, places in zip(windows.scalings, windows.places, strict=True)
    ]
  )
  scores = jax.eval_shape(run, images[:, 0])

  def score(k: Array, done: Array) -> Array:
    place = lax.dynamic_index_in_dim(order, k, axis=1, keepdims=False)
    found = run(_take(images, place))
    turned = jnp.where(flipped[place][:, None, None, None], found[:, :, ::-1], found)
    return _put(done, place, turned)

  number = jnp.max(jnp.sum(valid, axis=1))
  start = jnp.zeros((len(images), valid.shape[1], *scores.shape[1:]), scores.dtype)
  return lax.fori_loop(0, number, score, start)


# Image by image, so that images which are spread over devices stay where they are: of an index of
# rows and places at once each device would get the windows and scores of all.
_take = jax.vmap(lambda values, k: lax.dynamic_index_in_dim(values, k, keepdims=False))
_put = jax.vmap(lambda values, k, value: lax.dynamic_update_index_in_dim(values, value, k, 0))


def room(size: tuple[int, int]) -> tuple[int, int]:
  """Gives the height and width of whole tiles that hold images of up to a size (H, W)."""
  height, width = (-(-side // tile) * tile for side, tile in zip(size, TILE, strict=True))
  return height, width


def classify_pixels(
  scores: Float[Array, "B N s s K"],
  batch: Mapping[str, Array],
  windows: Windows,
  shape: tuple[int, int],
  judge: Callable[[Any, Corner, Array, Array], Any] = lambda found, corner, classes, log_p: found,
  start: Any = (),
) -> tuple[UInt8[Array, "B H W"], Any]:
  """Finds the likeliest class of each pixel of images, a tile of them after the other.

  The probabilities of all classes at all pixels of a large image would fill the memory; and where
  all images of a batch are small, only the tiles that they have are computed.

  Args:
    scores: scores of the windows, see `score_windows`.
    batch: what `Windows.cut` made of each image, with a leading axis B.
    windows: how they were cut.
    shape: height H and width W that hold the largest image, see `room`.
    judge: function of what was found so far, of the corner of a tile, of its classes,
      uint8 [B, h, w], and the logarithms of their probabilities, [B, h, w, K], to what is found
      then.
    start: what is found at the start.

  Returns:
    The classes, without meaning beyond an image, and what was found at the end. Where a score is
    NaN the class is `IGNORED`: it is never right.
  """
  ends = jnp.max(batch["size"], axis=0)
  rows, columns = (-(-ends[axis] // TILE[axis]) for axis in (0, 1))

  def classify(k: Array, carried: tuple[Array, Any]) -> tuple[Array, Any]:
    classes, found = carried
    corner = (k // columns * TILE[0], k % columns * TILE[1])
    log_p = pixel_log_probabilities(scores, batch, windows, corner, TILE)
    likeliest = jnp.argmax(log_p, axis=-1).astype(jnp.uint8)
    of_tile = jnp.where(jnp.isnan(log_p).any(axis=-1), jnp.uint8(IGNORED), likeliest)
    classes = lax.dynamic_update_slice(classes, of_tile, (0, *corner))
    return classes, judge(found, corner, of_tile, log_p)

  empty = jnp.zeros((len(scores), *shape), jnp.uint8)
  return lax.fori_loop(0, rows * columns, classify, (empty, start))


def pixel_log_probabilities(
  scores: Float[Array, "B N s s K"],
  batch: Mapping[str, Array],
  windows: Windows,
  corner: Corner,
  shape: tuple[int, int],
) -> Float[Array, "B h w K"]:
  """Computes the logarithm of the probability of each class for a part of the images.

  Scores are averaged over the windows of one scaling, resized bilinearly between the centres of
  pixels, and their probabilities averaged over the scalings.

  Args:
    scores: scores of the windows, see `score_windows`.
    batch: what `Windows.cut` made of each image, with a leading axis B.
    windows: how they were cut.
    corner: first row and column of the part, of images of their own size.
    shape: its height h and width w; what lies beyond an image has no meaning.
  """
  rows, columns = (
    jnp.broadcast_to(first + jnp.arange(length)[None], (len(scores), length))
    for first, length in zip(corner, shape, strict=True)
  )
  logs = [
    jax.nn.log_softmax(_average_windows(scores, batch, windows, v, rows, columns))
    for v in range(len(windows.scalings))
  ]
  return functools.reduce(jnp.logaddexp, logs) - jnp.log(jnp.float32(len(logs)))


def _average_windows(
  scores: Float[Array, "B N s s K"],
  batch: Mapping[str, Array],
  windows: Windows,
  v: int,
  rows: Int[Array, "B R"],
  columns: Int[Array, "B W"],
) -> Float[Array, "B R W K"]:
  """Averages and resizes the scores of one scaling, at some rows and columns of the images."""
  places = windows.places[v]
  scores = scores[:, places.start : places.stop].astype(jnp.float32)
  starts = batch["starts"][:, places.start : places.stop]
  valid = starts[:, :, 0] >= 0
  scaled, own = batch["scaled"][:, v], batch["size"]
  side, flip = scores.shape[2], windows.scalings[v].flip
  high = lax.Precision.HIGHEST

  def add(k: Array, sums: Array) -> Array:
    of_window, start, here = (
      lax.dynamic_index_in_dim(values, k, axis=1, keepdims=False)
      for values in (scores, starts, valid)
    )
    of_rows = _weights(windows, side, rows, start[:, :1], scaled[:, :1], own[:, :1], False)
    of_columns = _weights(windows, side, columns, start[:, 1:], scaled[:, 1:], own[:, 1:], flip)
    of_rows *= here[:, None, None]
    by_rows = jnp.einsum("brs,bstk->brtk", of_rows, of_window, precision=high)
    return sums + jnp.einsum("bwt,brtk->brwk", of_columns, by_rows, precision=high)

  number = jnp.max(jnp.sum(valid, axis=1))
  sums = jnp.zeros((*rows.shape, columns.shape[1], scores.shape[-1]), jnp.float32)
  return lax.fori_loop(0, number, add, sums)


def _weights(
  windows: Windows,
  side: int,
  positions: Int[Array, "B T"],
  start: Int[Array, "B 1"],
  scaled: Int[Array, "B 1"],
  own: Int[Array, "B 1"],
  flip: bool,
) -> Float[Array, "B T s"]:
  """Computes what each position of a window's coarse scores adds to positions of the image.

  Args:
    windows: how the image was cut.
    side: number s of positions of the scores, along this axis.
    positions: positions in the image of its own size.
    start: where the window begins in the scaled image.
    scaled: length of the scaled image along this axis.
    own: that of the image.
    flip: whether the windows were laid from the other end.
  """
  between = jnp.clip((positions + 0.5) * scaled / own - 0.5, 0.0, scaled - 1.0)
  low = jnp.floor(between).astype(jnp.int32)
  share = between - low
  total = jnp.zeros((*positions.shape, side), jnp.float32)
  for tap, weight in ((low, 1 - share), (jnp.minimum(low + 1, scaled - 1), share)):
    inside = (tap >= start) & (tap < start + windows.size)
    covering = _count_covering(windows, scaled - 1 - tap if flip else tap, scaled)
    coarse = jnp.clip((tap - start + 0.5) * side / windows.size - 0.5, 0.0, side - 1.0)
    hat = jnp.maximum(1 - jnp.abs(coarse[..., None] - jnp.arange(side)[None, None]), 0.0)
    total += jnp.where(inside, weight / covering, 0.0)[..., None] * hat
  return total


def _count_covering(
  windows: Windows, positions: Int[Array, "B T"], scaled: Int[Array, "B 1"]
) -> Int[Array, "B T"]:
  """Counts the windows of a row or column that cover positions of the scaled image."""
  longest = max(scaling.long_side for scaling in windows.scalings)
  size, stride = windows.size, windows.stride
  number = jnp.maximum(scaled - size + stride - 1, 0) // stride + 1
  total = jnp.zeros_like(positions)
  for k in range(len(windows.starts(longest))):
    start = jnp.maximum(jnp.minimum(k * stride + size, scaled) - size, 0)
    total += (positions >= start) & (positions < start + size) & (k < number)
  return jnp.maximum(total, 1)
