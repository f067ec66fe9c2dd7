"""This module tells what pixels do not keep of an image file with which nothing is wrong."""

import io
from typing import Any

import numpy as np
from PIL import Image

from hornet_jax.data.pixels.arrays import array_type, array_values, is_npy, is_tiff, largest_value
from hornet_jax.data.pixels.pixel_format import PixelFormat


def is_clipped(encoded: bytes, pixel_format: PixelFormat) -> bool:
  """Tells whether values of an image that decodes are below 0 or above the largest.

  Args:
    encoded: content of a file.
    pixel_format: format in which it was decoded.
  """
  try:
    values = _wide_values(encoded, pixel_format)
  except Exception:  # Pillow reads TIFFs that tifffile does not
    return False
  if values is None:
    return False
  largest = largest_value(values.dtype, pixel_format)
  return bool(largest) and bool(values.min() < 0 or values.max() > largest)


def _wide_values(encoded: bytes, pixel_format: PixelFormat) -> np.ndarray | None:
  """Reads the numbers of an image; None where they are bytes, or within the range of their type."""
  if is_npy(encoded) or is_tiff(encoded):
    return None if array_type(encoded) == np.uint8 else array_values(encoded)
  if not pixel_format.max_value:
    return None
  with Image.open(io.BytesIO(encoded)) as image:
    return np.asarray(image) if image.mode.startswith("I") else None  # of 16 bits or 32


def has_more_pages(encoded: bytes, pixel_format: PixelFormat) -> bool:
  """Tells whether a TIFF that decodes has pages that are not read.

  Pages that are the channels of one image are read; smaller copies and masks are no pages.

  Args:
    encoded: content of a file.
    pixel_format: format in which it was decoded.
  """
  if not is_tiff(encoded):
    return False
  import tifffile

  try:
    with tifffile.TiffFile(io.BytesIO(encoded)) as file:
      pages = [page for page in file.pages if not _is_part(page)]
      series = file.series[0]
      read = 1 if pixel_format.mode or "S" in series.axes else len(series.pages)
  except Exception:  # likewise
    return False
  return len(pages) > read


def _is_part(page: Any) -> bool:
  """Tells whether a page of a TIFF is a smaller copy of another, or its mask."""
  return page.keyframe.is_reduced or page.keyframe.is_mask
