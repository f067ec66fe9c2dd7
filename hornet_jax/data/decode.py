"""Encoded images to pixels."""

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

_LONGEST = 32  # sides


class UndecodableImageError(Exception):
  """The bytes are no image that Pillow can read to the end."""


def decode(encoded: bytes) -> Image.Image:
  """An encoded image, as `to_rgb` returns it.

  Raises:
    UndecodableImageError: with the reason.
  """
  try:
    with Image.open(io.BytesIO(encoded)) as image:
      return to_rgb(image)
  except UnidentifiedImageError as error:
    raise UndecodableImageError("no image format that Pillow knows") from error
  except Exception as error:  # Pillow's readers raise whatever their format's code meets
    raise UndecodableImageError(str(error)) from error


def to_rgb(image: Image.Image) -> Image.Image:
  """An RGB image, turned as its EXIF orientation says.

  16-bit grey is scaled to 8 bits, where Pillow's own conversion would clip it.

  Raises:
    ValueError: if the pixels have no fixed range (32-bit integers, floats).
  """
  image = ImageOps.exif_transpose(image)
  if image.mode in ("I", "F"):
    raise ValueError(f"pixels of mode {image.mode!r} have no fixed range")
  if image.mode.startswith("I;16"):
    sixteen = np.asarray(image.convert("I"))  # [H, W], 0 to 65535
    image = Image.fromarray(np.round(sixteen / 257).astype(np.uint8))
  return image.convert("RGB")


def resize_and_center_crop(image: Image.Image, size: int, crop_fraction: float) -> np.ndarray:
  """The evaluation view: short side to size / crop_fraction, then the central square.

  Source: timm 0.4.12 `transforms_imagenet_eval`; bicubic, antialiased.
  Deviation: of an image more than 32 times as long as wide only the middle is resized, as
  memory would grow with its length.

  Args:
    image: RGB image of any size.
    size: side of the result in pixels.
    crop_fraction: side of the square as a fraction of the short side, in (0, 1];
      0.875 for ImageNet at 224.

  Returns:
    uint8 [size, size, 3].
  """
  image = _without_far_ends(image)
  short = int(size / crop_fraction)
  width, height = image.size
  if width <= height:
    resized = (short, int(short * height / width))
  else:
    resized = (int(short * width / height), short)
  image = image.resize(resized, Image.Resampling.BICUBIC)
  left = round((resized[0] - size) / 2)
  top = round((resized[1] - size) / 2)
  return np.asarray(image.crop((left, top, left + size, top + size)))


def _without_far_ends(image: Image.Image) -> Image.Image:
  """The central part, at most `_LONGEST` times as long as wide."""
  width, height = image.size
  limit = _LONGEST * min(width, height)
  left, top = max(width - limit, 0) // 2, max(height - limit, 0) // 2
  if left == top == 0:
    return image
  return image.crop((left, top, left + min(width, limit), top + min(height, limit)))
