"""Whole images are scaled to fit a square, and their masks alike: what evaluation sees."""

import dataclasses

import numpy as np

from hornet_jax.data.masks import IGNORED
from hornet_jax.data.paired_view import nearest_window, resize_window, scaled_size


@dataclasses.dataclass(frozen=True)
class WholeView:
  """A `WholeView` scales an image to the largest size that fits a square, its aspect kept.

  What is left of the square, at the right and at the bottom, is filled and ignored.

  Attributes:
    size: side S of the square, in pixels.
    fill: value of each channel where there is no image.
  """

  size: int
  fill: tuple[int, ...]

  def scaled(self, size: tuple[int, ...]) -> tuple[int, int]:
    """Gives the height and width in the square of an image of a size (H, W)."""
    return scaled_size(size, self.size, self.size)

  def image(self, pixels: np.ndarray) -> np.ndarray:
    """Scales an image, uint8 [H, W, 3], to uint8 [S, S, 3]."""
    height, width = self.scaled(pixels.shape[:2])
    square = np.empty((self.size, self.size, pixels.shape[2]), np.uint8)
    square[:] = self.fill
    square[:height, :width] = resize_window(pixels, (height, width), (0, 0, height, width))
    return square

  def mask(self, mask: np.ndarray) -> np.ndarray:
    """Scales a mask, uint8 [H, W], to uint8 [S, S], by the nearest pixels."""
    height, width = self.scaled(mask.shape)
    square = np.full((self.size, self.size), IGNORED, np.uint8)
    square[:height, :width] = nearest_window(mask, (height, width), (0, 0, height, width))
    return square
