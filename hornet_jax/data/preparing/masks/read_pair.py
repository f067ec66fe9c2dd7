"""An image and its mask are read together: they must be of one size."""

import numpy as np

from hornet_jax.data.pixels.decode import UndecodableImageError, decode_pixels, is_turned
from hornet_jax.data.preparing.masks.mask_files import read_codes


def read_pair(image: bytes, mask: bytes, *, colours: bool = False) -> np.ndarray:
  """Decodes an image, and reads the number of each pixel of its mask, int32 [H, W].

  The size is that of the image, turned as its EXIF or XMP data say.

  Args:
    image: content of the image's file.
    mask: content of the mask's file.
    colours: whether the numbers are those of colours, see `read_codes`.

  Raises:
    UndecodableImageError: if one cannot be decoded, or they differ in size.
  """
  size = decode_pixels(image).shape[:2]
  codes = read_codes(mask, colours=colours)
  if codes.shape != size:
    turned = ", turned as its EXIF data say" if is_turned(image) else ""
    hint = ": the mask must be turned as well" if turned and codes.shape == size[::-1] else ""
    raise UndecodableImageError(
      f"the mask has height and width {list(codes.shape)}, and its image {list(size)}{turned}{hint}"
    )
  return codes
