"""Encoded images to pixels."""

import io
import math

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

_START_OF_SCAN = b"\xff\xda"
_COLORSPACES = ("YCbCr", "Gray", "RGB")  # of JPEGs that libjpeg-turbo turns into RGB


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


def decode_pixels(encoded: bytes) -> np.ndarray:
  """An encoded image as uint8 [H, W, 4]: red, green, blue and a byte that is not used.

  libjpeg-turbo without a detour for ordinary JPEGs, `decode` for everything else. The
  pixels are the same.

  Raises:
    UndecodableImageError: with the reason.
  """
  try:
    if _is_plain_jpeg(encoded):
      return simplejpeg.decode_jpeg(encoded, "RGBX")
  except ValueError:
    pass  # Pillow says what is wrong with it, or reads it after all
  return decode_pixels_with_pillow(encoded)


def decode_pixels_with_pillow(encoded: bytes) -> np.ndarray:
  """`decode_pixels` by Pillow alone."""
  return to_pixels(decode(encoded))


def to_pixels(image: Image.Image) -> np.ndarray:
  """An RGB image as uint8 [H, W, 4]."""
  return np.asarray(image.convert("RGBX"))


def _is_plain_jpeg(encoded: bytes) -> bool:
  """Whether it is a JPEG that is neither turned nor printed nor absurdly large."""
  if not simplejpeg.is_jpeg(encoded):
    return False
  height, width, colorspace, _ = simplejpeg.decode_jpeg_header(encoded)
  if colorspace not in _COLORSPACES or height * width > (Image.MAX_IMAGE_PIXELS or math.inf):
    return False
  # In front of the pixels, whose many bytes need no search.
  if encoded.find(b"Exif\0\0", 0, encoded.find(_START_OF_SCAN)) < 0:
    return True
  with Image.open(io.BytesIO(encoded)) as image:
    return image.getexif().get(ExifTags.Base.Orientation, 1) == 1
