"""This module makes images small enough for hosts that cannot decode large ones fast enough."""

import simplejpeg

from hornet_jax.data.pixels.decode import UndecodableImageError, decode_pixels
from hornet_jax.data.pixels.resize import resize


def smaller_name(name: str, short_side: int, quality: int) -> str:
  """Names the smaller copy of a dataset, which is another dataset everywhere.

  Args:
    name: name of the dataset, such as `imagenet22k/winter21`.
    short_side: short side of its images in pixels.
    quality: quality of its JPEGs.
  """
  return f"{name.replace('/', '_').replace('-', '_')}_short{short_side}_q{quality}"


def shrink(encoded: bytes, short_side: int, quality: int) -> bytes:
  """Encodes an image anew, as a JPEG whose short side has a length; turned as its EXIF says.

  Args:
    encoded: encoded image.
    short_side: wanted short side in pixels.
    quality: quality of the JPEG, 1 to 100; chroma at half the resolution, as photographs have it.

  Returns:
    The JPEG, or the same bytes where the image is no larger or cannot be decoded.
  """
  try:
    pixels = decode_pixels(encoded)
  except UndecodableImageError:
    return encoded  # whoever trains on it counts it
  height, width = pixels.shape[:2]
  if min(height, width) <= short_side:
    return encoded
  scale = short_side / min(height, width)
  small = resize(pixels, round(height * scale), round(width * scale))
  return simplejpeg.encode_jpeg(small, quality=quality, colorspace="RGB", colorsubsampling="420")
