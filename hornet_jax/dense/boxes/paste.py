"""A mask that was found within a box is put into its image, on the host."""

import math

import numpy as np
from jaxtyping import Bool, Float

from hornet_jax.errors import InputError


def paste_mask(
  mask: Float[np.ndarray, "m m"],
  box: Float[np.ndarray, "4"],
  size: tuple[int, int],
  threshold: float = 0.5,
) -> Bool[np.ndarray, "h w"]:
  """Resizes a mask to its box, bilinearly, and says which pixels of the image it covers.

  Probabilities stand at the centres of the mask's pixels; beyond its border they fall to 0 within
  half of one. Only the part of the image where that may be is computed.

  Source: mmdet `FCNMaskHead`, whose sampling is torch `F.grid_sample(align_corners=False)`.
  Deviation: a box without width or height covers nothing.

  Args:
    mask: probabilities of the object in m x m parts of its box.
    box: corners (x0, y0, x1, y1) in pixels of the image; they may lie beyond it.
    size: height and width (h, w) of the image.
    threshold: smallest probability of a pixel of the object, in (0, 1].

  Raises:
    InputError: if `threshold` is no such number, or the box is not finite.
  """
  if not 0 < threshold <= 1:
    raise InputError(f"`threshold` must be > 0 and <= 1: got {threshold}.")
  if not np.isfinite(box).all():
    raise InputError(f"`box` must have four finite corners: got {box.tolist()}.")
  covered = np.zeros(size, bool)
  x0, y0, x1, y1 = map(float, box)
  if x1 <= x0 or y1 <= y0:
    return covered
  (top, rows), (left, columns) = (
    _weights(start, end, number, mask.shape[0])
    for start, end, number in ((y0, y1, size[0]), (x0, x1, size[1]))
  )
  found = rows @ mask.astype(np.float32) @ columns.T
  covered[top : top + len(rows), left : left + len(columns)] = found >= threshold
  return covered


def _weights(start: float, end: float, number: int, m: int) -> tuple[int, np.ndarray]:
  """The first pixel that a side of the mask reaches, and weights of the m parts from there on."""
  beyond = (end - start) / m / 2
  first = min(max(math.floor(start - beyond), 0), number)
  last = min(max(math.ceil(end + beyond), first), number)
  places = (np.arange(first, last) + 0.5 - start) / (end - start) * m - 0.5
  weights = np.maximum(1 - np.abs(places[:, None] - np.arange(m)), 0)
  return first, weights.astype(np.float32)
