"""This module resizes images with Pillow's arithmetic, in compiled code."""

import math

import numpy as np
from PIL import Image

from hornet_jax.data.pixels.numba_jit import compiled

_BITS = 22  # of the weights' fraction
Window = tuple[int, int, int, int]
"""Top, left, height and width in pixels of a resized image."""


def resize(
  pixels: np.ndarray,
  height: int,
  width: int,
  *,
  window: Window | None = None,
  flip: bool = False,
  channels: int = 3,
) -> np.ndarray:
  """Resizes an image as Pillow does, with bicubic antialiasing.

  The width is resized first and rounded to bytes, then the height.

  Source: Pillow's `Image.resize`, libImaging/Resample.c: the cubic of a = -1/2, stretched by
  the scale where the image shrinks, in fixed point of 22 bits.
  Deviation: from Pillow 13 on the height of images that are tall comes first, which differs
  by rounding.

  Args:
    pixels: image or part of one, uint8 [H, W, 4 n], see `decode_pixels`.
    height: height of the result in pixels.
    width: width of the result in pixels.
    window: part of the result that is wanted; None for all of it.
    flip: whether the result is mirrored.
    channels: number C of channels that count.

  Returns:
    uint8 [height, width, C], or of the window's size.
  """
  top, left, rows, columns = window or (0, 0, height, width)
  words = pixels.view(np.uint32)  # four channels each
  place = (height, width, top, left, rows, columns, flip)
  if channels <= 4:
    return _resize(words[..., 0], *place, channels)
  groups = [_resize(words[..., i], *place, 4) for i in range(words.shape[2])]
  return np.ascontiguousarray(np.concatenate(groups, axis=2)[..., :channels])


def resize_with_pillow(
  pixels: np.ndarray,
  height: int,
  width: int,
  *,
  window: Window | None = None,
  flip: bool = False,
  channels: int = 3,
) -> np.ndarray:
  """Resizes an image as `resize` does, by Pillow itself."""

  def resized_channels(part: np.ndarray) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(part))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))

  if channels == 3:
    resized = resized_channels(pixels[..., :3])
  else:  # one by one: Pillow would weigh colours by opacity
    resized = np.stack([resized_channels(pixels[..., c]) for c in range(channels)], axis=2)
  top, left, rows, columns = window or (0, 0, height, width)
  view = resized[top : top + rows, left : left + columns]
  return np.ascontiguousarray(view[:, ::-1] if flip else view)


@compiled
def _resize(words, height, width, top, left, rows, columns, flip, channels):
  """Resizes pixels of four bytes, [H, W], to uint8 [rows, columns, channels]."""
  # Both passes run along the first axis, where the compiler has long rows to vectorise.
  resized = _resize_rows(_transposed(words), width, left, columns)
  resized = _resize_rows(_transposed(resized), height, top, rows)
  pixels = resized.view(np.uint8)
  result = np.empty((rows, columns, channels), np.uint8)
  for y in range(rows):
    for x in range(columns):
      source = 4 * (columns - 1 - x if flip else x)
      if channels == 3:  # as a constant, it is unrolled
        for c in range(3):
          result[y, x, c] = pixels[y, source + c]
      else:
        for c in range(channels):
          result[y, x, c] = pixels[y, source + c]
  return result


@compiled
def _transposed(words):
  """Transposes in blocks of 8x8, which the compiler unrolls."""
  height, width = words.shape
  result = np.empty((width, height), np.uint32)
  even_height, even_width = height // 8 * 8, width // 8 * 8
  for top in range(0, even_height, 8):
    for left in range(0, even_width, 8):
      for x in range(8):
        for y in range(8):
          result[left + x, top + y] = words[top + y, left + x]
  for y in range(height):
    for x in range(0 if y >= even_height else even_width, width):
      result[x, y] = words[y, x]
  return result


@compiled
def _resize_rows(words, length, start, count):
  """Returns rows `start` to `start + count` of the array resized to `length` rows."""
  rows = words.view(np.uint8)
  sources = rows.shape[0]
  scale = sources / length
  stretch = max(scale, 1.0)
  support = 2.0 * stretch
  weights = np.empty(2 * math.ceil(support) + 1)
  result = np.empty((count, rows.shape[1]), np.uint8)
  total = np.empty(rows.shape[1], np.int32)
  for i in range(count):
    center = (start + i + 0.5) * scale
    first = max(int(center - support + 0.5), 0)
    end = min(int(center + support + 0.5), sources)
    norm = 0.0
    for k in range(first, end):
      weights[k - first] = _cubic((k - center + 0.5) * (1.0 / stretch))
      norm += weights[k - first]
    total[:] = 1 << (_BITS - 1)  # rounds
    for k in range(first, end):
      weight = weights[k - first] / norm
      fixed = np.int32(weight * (1 << _BITS) + (0.5 if weight >= 0 else -0.5))
      for j in range(total.shape[0]):
        total[j] += fixed * np.int32(rows[k, j])
    for j in range(total.shape[0]):
      result[i, j] = min(max(total[j] >> _BITS, 0), 255)
  return result.view(np.uint32)


@compiled
def _cubic(x):
  x = abs(x)
  if x < 1:
    return (1.5 * x - 2.5) * x * x + 1.0
  if x < 2:
    return (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
  return 0.0
