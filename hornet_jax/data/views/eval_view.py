"""This module makes the view of an image that evaluation and prediction use."""

import dataclasses

import numpy as np

from hornet_jax.data.pixels.imaging import Imaging, get_imaging
from hornet_jax.data.pixels.pixel_format import RGB, PixelFormat
from hornet_jax.errors import InputError

_LONGEST = 32  # sides


@dataclasses.dataclass(frozen=True)
class EvalView:
  """An `EvalView` resizes the short side to size / crop_fraction and takes the central square.

  Source: timm 0.4.12 `transforms_imagenet_eval`, and official datasets.py: `warp` is what it
  does for images of 384 pixels and more. Bicubic, antialiased.
  Deviation: of an image more than 32 times as long as wide only the middle is resized, as
  memory would grow with its length.

  Attributes:
    image_size: side of the result in pixels.
    crop_fraction: side of the square as a fraction of the short side, in (0, 1]; 0.875 for
      ImageNet at 224. Not used to warp.
    warp: whether the whole image is resized to a square, whatever its aspect.
    imaging: name of the library that decodes and resizes, see `IMAGING`.
    pixel_format: format of the pixels; C is its number of channels.

  Raises:
    InputError: if a number is out of its range or the library unknown.
  """

  image_size: int
  crop_fraction: float
  warp: bool = False
  imaging: str = "turbo"
  pixel_format: PixelFormat = RGB

  def __post_init__(self) -> None:
    get_imaging(self.imaging, self.pixel_format)
    if self.image_size < 1 or not 0 < self.crop_fraction <= 1:
      raise InputError(
        "`image_size` and `crop_fraction` must be pixels and a share: expected at least 1, and > 0 "
        f"and <= 1, got {self.image_size} and {self.crop_fraction}."
      )

  @property
  def library(self) -> Imaging:
    """Returns what decodes and resizes."""
    return get_imaging(self.imaging, self.pixel_format)

  def __call__(self, pixels: np.ndarray) -> np.ndarray:
    """Turns pixels of `decode_pixels` into the view, uint8 [image_size, image_size, C]."""
    size = self.image_size
    if self.warp:
      return self.library.resize(pixels, size, size)
    return center_crop(pixels, size, int(size / self.crop_fraction), self.library)


def center_crop(pixels: np.ndarray, size: int, short_side: int, imaging: Imaging) -> np.ndarray:
  """Resizes an image and takes the central square.

  Args:
    pixels: image, uint8 [H, W, 4 n].
    size: side of the square in pixels.
    short_side: short side of the whole resized image, at least `size`.
    imaging: library that resizes.

  Returns:
    uint8 [size, size, C].
  """
  pixels = _without_far_ends(pixels)
  height, width = pixels.shape[:2]
  if width <= height:
    height, width = int(short_side * height / width), short_side
  else:
    height, width = short_side, int(short_side * width / height)
  window = (round((height - size) / 2), round((width - size) / 2), size, size)
  return imaging.resize(pixels, height, width, window=window)


def _without_far_ends(pixels: np.ndarray) -> np.ndarray:
  """Takes the central part, at most `_LONGEST` times as long as wide."""
  height, width = pixels.shape[:2]
  limit = _LONGEST * min(height, width)
  top, left = max(height - limit, 0) // 2, max(width - limit, 0) // 2
  return pixels[top : top + limit, left : left + limit]
