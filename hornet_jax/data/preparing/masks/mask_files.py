"""Masks as people keep them: the numbers in a file, before they are told apart as classes."""

import io
import re

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin

from hornet_jax.data.pixels.decode import UndecodableImageError

# Formats that give back what was put in; writers of GIFs count a palette's colours anew.
_EXACT = ("PNG", "TIFF", "BMP", "PPM")
_EXACT_TIFFS = ("raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "zstd", "lzma")
_LARGEST = 2**16 - 1
_PNG_BITS, _PNG_KIND = 24, 25  # positions in a file
_GREY, _COLOURS = 0, 2  # kinds of PNG
_FULL = (255, 2**16 - 1)  # largest values of a PPM that Pillow takes as they are
_PPM_HEADER = 4096  # bytes, with comments
_TIFF_BITS, _TIFF_KIND = 258, 262  # tags
_NOT_TURNED = (1, 2, 3)  # kinds of TIFF: 0 is white, and others are no plain colours
_BITS = {"L": 8, "RGB": 8, "RGBA": 8}  # of a channel, by modes to which Pillow may have scaled
_STEPS = {2: 85, 4: 17}  # bits of a grey PNG -> by how much Pillow spreads its values


def read_codes(encoded: bytes, *, colours: bool) -> np.ndarray:
  """Reads the number of each pixel of a mask, int32 [H, W].

  Of a palette that is the position in it, and not the colour; of a grey image of 1 to 16 bits the
  value as stored.

  Args:
    encoded: content of a file, of a format that keeps values as they are.
    colours: whether the numbers are those of colours, see `colour_code`.

  Raises:
    UndecodableImageError: if it is no such file, or its pixels are none of these.
  """
  try:
    with Image.open(io.BytesIO(encoded)) as image:
      _check_exact(image)
      _check_unscaled(image, encoded)
      turned = image.getexif().get(ExifTags.Base.Orientation, 1) not in (0, 1)
      if turned:
        raise UndecodableImageError(
          "the mask: its own EXIF data turn it: save it as it is to be seen, without them"
        )
      return _colours(image, encoded) if colours else _values(image, encoded)
  except UndecodableImageError:
    raise
  except Exception as error:  # whatever a damaged file makes Pillow raise
    raise UndecodableImageError(f"the mask: {error}") from error


def colour_code(red: int, green: int, blue: int) -> int:
  """Returns the number of a colour: 65536 r + 256 g + b."""
  return red << 16 | green << 8 | blue


def code_text(code: int, *, colours: bool) -> str:
  """Writes a number as a person knows it: `the value 7`, `the colour 128,0,64`."""
  if not colours:
    return f"the value {code}"
  return f"the colour {code >> 16},{code >> 8 & 255},{code & 255}"


def _check_exact(image: Image.Image) -> None:
  lossy = image.format == "TIFF" and image.info.get("compression", "raw") not in _EXACT_TIFFS
  if image.format not in _EXACT or lossy:
    kind = f"a {image.format}" if not lossy else f"a TIFF with {image.info['compression']}"
    raise UndecodableImageError(
      f"the mask is {kind}, whose values are not those that were saved: expected a PNG, BMP or "
      "TIFF without losses"
    )


def _check_unscaled(image: Image.Image, encoded: bytes) -> None:
  """Raises `UndecodableImageError` for files that have other numbers than Pillow makes of them."""
  bits = _BITS.get(image.mode)
  found = ""
  if image.format == "PPM" and image.mode != "1" and _largest_of_ppm(encoded) not in _FULL:
    found = f"a PPM whose largest value is {_largest_of_ppm(encoded)}"
  elif isinstance(image, TiffImagePlugin.TiffImageFile) and bits:
    of_channels, kind = image.tag_v2.get(_TIFF_BITS, (1,)), image.tag_v2.get(_TIFF_KIND, 0)
    if {*of_channels} != {bits} or kind not in _NOT_TURNED:
      found = f"a TIFF of {of_channels[0]} bits and of the kind {kind}"
  elif image.format == "BMP":
    of_pixel = _bits_of_bmp(encoded)
    if of_pixel != {"1": 1, "L": 8}.get(image.mode, of_pixel):
      found = f"a BMP of {of_pixel} bits with few colours"
  if found:
    raise UndecodableImageError(
      f"the mask is {found}, whose values are not read as they are stored: save it as a PNG"
    )


def _largest_of_ppm(encoded: bytes) -> int:
  return int(re.sub(rb"#[^\r\n]*", b" ", encoded[:_PPM_HEADER]).split(None, 4)[3])


def _bits_of_bmp(encoded: bytes) -> int:
  is_old = int.from_bytes(encoded[14:18], "little") == 12  # the size of the header of OS/2
  place = 24 if is_old else 28
  return int.from_bytes(encoded[place : place + 2], "little")


def _values(image: Image.Image, encoded: bytes) -> np.ndarray:
  """Reads grey values or positions in a palette."""
  if image.mode in ("RGB", "RGBA"):
    colours = _rgb(image, encoded)
    red, green, blue = np.moveaxis(colours, -1, 0)
    if not ((red == green) & (green == blue)).all():
      y, x = np.argwhere((red != green) | (green != blue))[0]
      shown = ",".join(map(str, colours[y, x]))
      raise UndecodableImageError(
        f"the mask has colours, such as {shown}: a table says which class each is, by "
        "--classes=FILE.csv with the columns name, r, g and b"
      )
    return red.astype(np.int32)
  if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B", "I;16L"):
    raise UndecodableImageError(
      f"the mask must have one whole number a pixel: got pixels of the kind {image.mode}"
    )
  values = np.asarray(image).astype(np.int32)
  if values.size and not 0 <= values.min() <= values.max() <= _LARGEST:
    raise UndecodableImageError(
      f"the mask has values from {values.min()} to {values.max()}: expected 0 to {_LARGEST}"
    )
  if image.format == "PNG" and encoded[_PNG_KIND] == _GREY:
    values //= _STEPS.get(encoded[_PNG_BITS], 1)
  return values


def _colours(image: Image.Image, encoded: bytes) -> np.ndarray:
  """Reads numbers of colours; a palette is looked up."""
  if image.mode not in ("1", "L", "P", "RGB", "RGBA"):
    raise UndecodableImageError(
      f"the mask must have colours of 8 bits: got pixels of the kind {image.mode}"
    )
  red, green, blue = np.moveaxis(_rgb(image, encoded).astype(np.int32), -1, 0)
  return red << 16 | green << 8 | blue


def _rgb(image: Image.Image, encoded: bytes) -> np.ndarray:
  if image.format == "PNG" and encoded[_PNG_KIND] == _COLOURS and encoded[_PNG_BITS] == 16:
    raise UndecodableImageError("the mask has colours of 16 bits: expected 8")
  if image.mode == "RGBA" and image.getextrema()[3] != (255, 255):
    raise UndecodableImageError("the mask has transparent pixels: expected opaque ones")
  return np.asarray(image.convert("RGB"))
