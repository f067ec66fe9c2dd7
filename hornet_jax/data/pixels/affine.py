"""This module shifts and shears images with Pillow's arithmetic, in compiled code."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from hornet_jax.data.pixels.numba_jit import compiled


def slide(
  image: Image.Image, *, shear: float, shift: float, along_rows: bool, fill: Sequence[int]
) -> Image.Image:
  """Slides each row of an image along itself, or each column, with bicubic interpolation.

  In row y, the pixel at x comes from x + shear y + shift, counted from the corner of the
  image to the centres of pixels; likewise for columns.

  Source: Pillow's `Image.transform` with AFFINE, libImaging/Geometry.c: the cubic of a = -1
  in double precision, cut off to whole values. Between neighbours of one row the other
  rows have no weight, so that 4 pixels do for the 16 of the general transform.

  Args:
    image: RGB image.
    shear: pixels by which a row is shifted against the one above.
    shift: pixels by which all rows are shifted.
    along_rows: whether rows slide, and not columns.
    fill: red, green and blue of pixels that come from outside the image.

  Returns:
    An RGB image of the same size.
  """
  pixels = np.ascontiguousarray(image)
  result = np.empty_like(pixels)
  height, width, _ = pixels.shape
  if along_rows:
    lengths, strides = (height, width), (3 * width, 3)
  else:
    lengths, strides = (width, height), (3, 3 * width)
  _slide(
    pixels.reshape(-1),
    result.reshape(-1),
    *lengths,
    *strides,
    float(shear),
    float(shift),
    np.array(fill, np.uint8),
  )
  return Image.fromarray(result)


@compiled
def _slide(pixels, result, lines, length, line_stride, stride, shear, shift, fill):
  """Slides `lines` lines of `length` pixels; strides count pixels of the flat arrays."""
  for line in range(lines):
    start = line * line_stride
    for i in range(length):
      target = start + i * stride
      source = shear * (line + 0.5) + (i + 0.5) + shift
      if not 0 <= source < length:
        for k in range(3):
          result[target + k] = fill[k]
        continue
      source -= 0.5
      at = math.floor(source)
      d = source - at
      a = start + max(at - 1, 0) * stride
      b = start + max(at, 0) * stride
      c = start + min(at + 1, length - 1) * stride
      e = start + min(at + 2, length - 1) * stride
      for k in range(3):
        v1, v2 = float(pixels[a + k]), float(pixels[b + k])
        v3, v4 = float(pixels[c + k]), float(pixels[e + k])
        # Pillow's form of the cubic through v2 and v3, in its order.
        p3 = 2 * (v1 - v2) + v3 - v4
        p4 = -v1 + v2 - v3 + v4
        value = v2 + d * ((-v1 + v3) + d * (p3 + d * p4))
        result[target + k] = int(min(max(value, 0.0), 255.0))
