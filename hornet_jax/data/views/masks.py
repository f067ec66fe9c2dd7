"""Masks as datasets store them: PNG files of one byte a pixel, the class or 255 for none."""

import io

import numpy as np
from PIL import Image

from hornet_jax.data.pixels.decode import UndecodableImageError

IGNORED = 255
"""Value of a mask where no class counts."""


def decode_mask(encoded: bytes) -> np.ndarray:
  """Decodes a mask, uint8 [H, W].

  Args:
    encoded: content of a PNG file that `encode_png` wrote.

  Raises:
    UndecodableImageError: if it is no image of one byte a pixel.
  """
  try:
    with Image.open(io.BytesIO(encoded)) as image:
      mask = np.asarray(image)
  except Exception as error:  # whatever a damaged file makes Pillow raise
    raise UndecodableImageError(f"the mask: {error}") from error
  if mask.ndim != 2 or mask.dtype != np.uint8:
    raise UndecodableImageError(
      f"the mask must have one byte a pixel: got {mask.dtype} {list(mask.shape)}"
    )
  return mask


def check_mask(mask: np.ndarray, size: tuple[int, ...], num_classes: int) -> None:
  """Raises `UndecodableImageError` where a mask does not belong to its image and classes.

  Args:
    mask: classes, uint8 [H, W].
    size: height and width of the image.
    num_classes: number K of classes.
  """
  if mask.shape != size:
    raise UndecodableImageError(
      f"the mask has height and width {list(mask.shape)}, and its image {list(size)}"
    )
  foreign = mask[(mask >= num_classes) & (mask != IGNORED)]
  if len(foreign):
    raise UndecodableImageError(
      f"the mask has the value {foreign[0]}: expected classes 0 to {num_classes - 1}, or {IGNORED}"
    )


def encode_png(pixels: np.ndarray) -> bytes:
  """Encodes a mask, uint8 [H, W], or an image, uint8 [H, W, 3], as a PNG file."""
  encoded = io.BytesIO()
  Image.fromarray(pixels).save(encoded, "png")
  return encoded.getvalue()
