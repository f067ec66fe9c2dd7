"""This module decodes images to pixels, turned as their EXIF or XMP data say."""

import contextlib
import io
import math
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, UnidentifiedImageError

from hornet_jax.data.pixels.arrays import array_shape, decode_array, is_npy, is_tiff, scaled
from hornet_jax.data.pixels.jpeg_segments import metadata, without_metadata
from hornet_jax.data.pixels.pixel_format import PILLOW_MODES, RGB, PixelFormat, padded_channels
from hornet_jax.wording import counted

_UNKNOWN = "no image format that Pillow knows"
_LIMIT = threading.Lock()
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


def decode(encoded: bytes, pixel_format: PixelFormat = RGB) -> Image.Image:
  """Decodes an image with Pillow, as `to_image` makes it.

  Args:
    encoded: content of a file.
    pixel_format: format of 1, 3 or 4 channels.

  Raises:
    UndecodableImageError: if the bytes are not an image or are cut short, or there are too many
      pixels.
  """
  try:
    with _open(encoded) as image:
      _check_size(image.size, pixel_format)
      return to_image(image, pixel_format)
  except UnidentifiedImageError as error:
    raise UndecodableImageError(_UNKNOWN) from error
  except Exception as error:  # Pillow's readers raise whatever their format's code meets
    raise UndecodableImageError(str(error)) from error


def to_image(image: Image.Image, pixel_format: PixelFormat = RGB) -> Image.Image:
  """Converts an image to grey, RGB or RGBA, turned as its EXIF or XMP orientation says.

  The pixels are turned by the tag alone: other tags, which Pillow's `exif_transpose` would write
  anew, may be broken. 16-bit grey is scaled to 8 bits, where Pillow's own conversion would clip it.

  Args:
    image: image of any mode.
    pixel_format: format of 1, 3 or 4 channels.

  Raises:
    ValueError: if the pixels have no fixed range (32-bit integers, floats) and none is told.
  """
  mode = pixel_format.mode
  assert mode, pixel_format
  turn = _turn(image)
  if image.mode in ("I", "F") or image.mode.startswith("I;16"):
    numbers = np.asarray(image if image.mode in ("I", "F") else image.convert("I"))
    if image.mode.startswith("I;16"):
      numbers = numbers.astype(np.uint16)
    grey = PixelFormat(1, pixel_format.max_value)
    image = Image.fromarray(scaled(numbers[..., None], grey)[..., 0])
  image = image.convert(mode)
  return image if turn is None else image.transpose(turn)


def decode_pixels(encoded: bytes, pixel_format: PixelFormat = RGB) -> np.ndarray:
  """Decodes an image to uint8 [H, W, 4 n], its channels and bytes that are not used.

  RGB thus has four bytes a pixel, of which three count. Ordinary JPEGs go straight through
  libjpeg-turbo, everything else through `decode_pixels_with_pillow`. The pixels are the same.

  Args:
    encoded: content of a file.
    pixel_format: format of the pixels.

  Raises:
    UndecodableImageError: if the bytes are not an image or are cut short, have other channels
      or values than the format says, or there are too many pixels.
  """
  try:
    if pixel_format.channels == RGB.channels and _is_plain_jpeg(encoded, pixel_format):
      return simplejpeg.decode_jpeg(encoded, "RGBX")
  except Exception:  # whatever its header made a reader raise
    pass  # Pillow says what is wrong with it, or reads it after all
  return decode_pixels_with_pillow(encoded, pixel_format)


def decode_pixels_with_pillow(encoded: bytes, pixel_format: PixelFormat = RGB) -> np.ndarray:
  """Decodes an image as `decode_pixels` does, by Pillow.

  NumPy files, TIFFs that Pillow refuses, and what has other numbers of channels than Pillow knows
  are read as arrays.
  """
  if is_npy(encoded) or pixel_format.mode is None:
    return _decode_array(encoded, pixel_format)
  if is_tiff(encoded) and _has_unusual_channels(encoded):  # of which Pillow would take a part
    return _decode_array(encoded, pixel_format)
  try:
    return to_pixels(decode(encoded, pixel_format))
  except UndecodableImageError:
    if not is_tiff(encoded):
      raise
  return _decode_array(encoded, pixel_format)


def _has_unusual_channels(encoded: bytes) -> bool:
  try:
    return count_channels(encoded) > max(PILLOW_MODES)
  except (ImportError, UndecodableImageError):  # Pillow may read it, or says what is wrong
    return False


def _decode_array(encoded: bytes, pixel_format: PixelFormat) -> np.ndarray:
  if not (is_npy(encoded) or is_tiff(encoded)):
    got = count_channels(encoded)
    raise UndecodableImageError(f"{counted(got, 'channel')}, expected {pixel_format.channels}")
  try:
    _check_size(sorted(array_shape(encoded))[1:], pixel_format)  # before memory is taken
    values = decode_array(encoded, pixel_format)
  except ImportError:
    raise
  except Exception as error:  # whatever a damaged file made a reader raise
    raise UndecodableImageError(str(error)) from error
  return pad_channels(values)


def is_turned(encoded: bytes) -> bool:
  """Tells whether decoding turns an image, as its EXIF or XMP data say."""
  try:
    with _open(encoded) as image:
      return _turn(image) is not None
  except Exception:  # what is read as an array has no such data
    return False


def count_channels(encoded: bytes) -> int:
  """Counts the channels of an image, whatever it is.

  Raises:
    UndecodableImageError: if it is none.
  """
  try:
    if is_npy(encoded):
      first, _, last = array_shape(encoded)
      return min(first, last)  # whichever axis the channels have
    if is_tiff(encoded):
      return array_shape(encoded)[2]
    with _open(encoded) as image:
      return len(image.getbands())
  except ImportError:
    raise
  except UnidentifiedImageError as error:
    raise UndecodableImageError(_UNKNOWN) from error
  except Exception as error:
    raise UndecodableImageError(str(error)) from error


def to_pixels(image: Image.Image) -> np.ndarray:
  """Converts a grey, RGB or RGBA image to uint8 [H, W, 4], of which its channels count."""
  if image.mode == "L":
    return pad_channels(np.asarray(image)[..., None])
  return np.asarray(image if image.mode == "RGBA" else image.convert("RGBX"))


def pad_channels(values: np.ndarray) -> np.ndarray:
  """Adds bytes that are not used to uint8 [H, W, C], up to a multiple of four."""
  channels = values.shape[2]
  padding = padded_channels(channels) - channels
  return np.ascontiguousarray(np.pad(values, ((0, 0), (0, 0), (0, padding))))


def _check_size(size: Sequence[int], pixel_format: PixelFormat) -> None:
  count, limit = math.prod(size), pixel_format.max_pixels
  if limit and count > limit:
    raise UndecodableImageError(
      f"{count:,} pixels are more than max_pixels, {limit:,}; 0 is no limit"
    )


@contextlib.contextmanager
def _without_pillows_limit() -> Iterator[None]:
  """Opens images of any size, whose pixels are not yet read: Pillow's limit warns, and is one of
  the whole process, to which it is given back."""
  with _LIMIT:
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
      yield
    finally:
      Image.MAX_IMAGE_PIXELS = limit


def _open(encoded: bytes) -> Image.Image:
  """Opens an image, see `_open_any`, whatever its size."""
  with _without_pillows_limit():
    return _open_any(encoded)


def _open_any(encoded: bytes) -> Image.Image:
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


def _is_plain_jpeg(encoded: bytes, pixel_format: PixelFormat) -> bool:
  """Returns whether it is a JPEG of usual colours and size, not turned by its metadata."""
  if not simplejpeg.is_jpeg(encoded):
    return False
  height, width, colorspace, _ = simplejpeg.decode_jpeg_header(encoded)
  if colorspace not in _COLORSPACES:
    return False
  _check_size((height, width), pixel_format)
  if not metadata(encoded):
    return True
  with _open(encoded) as image:
    return _turn(image) is None
