"""Predicted masks travel from the devices to a report in the small."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt8

SIDE = 192
"""Side P of a preview, in pixels."""


@dataclasses.dataclass(frozen=True)
class Preview:
  """A `Preview` is what was predicted of an image, on a grid of at most P x P of its pixels.

  Attributes:
    index: number of the image in its split.
    iou: its mean IoU.
    classes: predicted classes, uint8 [P, P], those of `preview_grid` first.
  """

  index: int
  iou: float
  classes: np.ndarray


def preview_grid(size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
  """Gives the rows and the columns of an image that its preview has.

  Its longest side is cut into P parts, and the pixel in the middle of each taken, along both sides.

  Args:
    size: height and width of the image.
  """
  middles = (2 * np.arange(SIDE) + 1) * max(size) // (2 * SIDE)
  return middles[middles < size[0]], middles[middles < size[1]]


def take_preview(classes: UInt8[Array, "B H W"], sizes: Int[Array, "B 2"]) -> UInt8[Array, "B P P"]:
  """Takes previews of predicted masks; beyond `preview_grid` they have no meaning.

  Args:
    classes: predicted classes, at the left and at the top of arrays that may be larger.
    sizes: heights and widths of the images.
  """
  longest = jnp.max(sizes, axis=1, keepdims=True)
  middles = (2 * jnp.arange(SIDE)[None] + 1) * longest // (2 * SIDE)
  rows = jnp.minimum(middles, classes.shape[1] - 1)
  columns = jnp.minimum(middles, classes.shape[2] - 1)
  of_rows = jnp.take_along_axis(classes, rows[:, :, None], axis=1)
  return jnp.take_along_axis(of_rows, columns[:, None, :], axis=2)
