"""This module decodes images to pixels, turned as their EXIF or XMP data say."""

import io
import math
from typing import Any

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, UnidentifiedImageError

from hornet_jax.data.jpeg_segments import metadata, without_metadata

_COLORSPACES = ("YCbCr", "Gray", "RGB")  # of JPEGs that libjpeg-turbo turns into RGB
_TURNS = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}


class UndecodableImageError(Exception):
  """An `UndecodableImageError` says why Pillow cannot read bytes to the end as an image."""


def decode(encoded: bytes) -> Image.Image:
  """Decodes an image with Pillow, to RGB as `to_rgb` makes it.

  Raises:
    UndecodableImageError: if the bytes are not an image or are cut short.
  """
  try:
    with _open(encoded) as image:
      return to_rgb(image)
  except UnidentifiedImageError as error:
    raise UndecodableImageError("no image format that Pillow knows") from error
  except Exception as error:  # Pillow's readers raise whatever their format's code meets
    raise UndecodableImageError(str(error)) from error


def to_rgb(image: Image.Image) -> Image.Image:
  """Converts an image to RGB, turned as its EXIF or XMP orientation says.

  The pixels are turned by the tag alone: other tags, which Pillow's `exif_transpose` would write
  anew, may be broken. 16-bit grey is scaled to 8 bits, where Pillow's own conversion would clip it.

  Raises:
    ValueError: if the pixels have no fixed range (32-bit integers, floats).
  """
  if image.mode in ("I", "F"):
    raise ValueError(f"pixels of mode {image.mode!r} have no fixed range")
  turn = _turn(image)
  if image.mode.startswith("I;16"):
    sixteen = np.asarray(image.convert("I"))  # [H, W], 0 to 65535
    image = Image.fromarray(np.round(sixteen / 257).astype(np.uint8))
  image = image.convert("RGB")
  return image if turn is None else image.transpose(turn)


def decode_pixels(encoded: bytes) -> np.ndarray:
  """Decodes an image to uint8 [H, W, 4]: red, green, blue and a byte that is not used.

  Ordinary JPEGs go straight through libjpeg-turbo, everything else through `decode`. The pixels
  are the same.

  Raises:
    UndecodableImageError: if the bytes are not an image or are cut short.
  """
  try:
    if _is_plain_jpeg(encoded):
      return simplejpeg.decode_jpeg(encoded, "RGBX")
  except Exception:  # whatever its header made a reader raise
    pass  # Pillow says what is wrong with it, or reads it after all
  return decode_pixels_with_pillow(encoded)


def decode_pixels_with_pillow(encoded: bytes) -> np.ndarray:
  """Decodes an image as `decode_pixels` does, by Pillow alone."""
  return to_pixels(decode(encoded))


def to_pixels(image: Image.Image) -> np.ndarray:
  """Converts an RGB image to uint8 [H, W, 4]."""
  return np.asarray(image.convert("RGBX"))


def _open(encoded: bytes) -> Image.Image:
  """Opens an image; of a JPEG whose metadata Pillow refuses, what is left without them."""
  try:
    return Image.open(io.BytesIO(encoded))
  except Exception:
    bare = without_metadata(encoded)
    if bare == encoded:
      raise
    image = Image.open(io.BytesIO(bare))
    image.info |= metadata(encoded)
    return image


def _turn(image: Image.Image) -> Image.Transpose | None:
  """Reads how the pixels are to be turned; an orientation that cannot be read turns nothing."""
  try:
    orientation: Any = image.getexif().get(ExifTags.Base.Orientation, 1)
    return _TURNS.get(orientation)
  except Exception:
    return None


def _is_plain_jpeg(encoded: bytes) -> bool:
  """Returns whether it is a JPEG of usual colours and size, not turned by its metadata."""
  if not simplejpeg.is_jpeg(encoded):
    return False
  height, width, colorspace, _ = simplejpeg.decode_jpeg_header(encoded)
  if colorspace not in _COLORSPACES or height * width > (Image.MAX_IMAGE_PIXELS or math.inf):
    return False
  if not metadata(encoded):
    return True
  with _open(encoded) as image:
    return _turn(image) is None
