"""How large each image of a split is, which says with which others it can share a batch."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hornet_jax.data.datasets import Split
from hornet_jax.data.reading_once import read_once
from hornet_jax.errors import InputError

_BITS = 31  # of a width


def image_sizes(split: Split) -> np.ndarray:
  """Reads the height and width of every image in pixels, int32 [N, 2].

  They are those that the examples tell, of the image turned as its EXIF data say. The first time
  the whole split is read; the sizes are then kept beside its files, where these can be written.

  Raises:
    InputError: if the examples tell no sizes.
  """

  def packed(example: Mapping[str, Any]) -> int:
    if not {"height", "width"} <= example.keys():
      raise InputError(
        f"{split.name} must tell the sizes of its images: expected `height` and `width`, got "
        f"{', '.join(sorted(example))}. Hint: `hornet prepare instances` makes such datasets."
      )
    return (int(example["height"]) << _BITS) | int(example["width"])

  numbers = read_once(split, "sizes", packed, np.int64)
  return np.stack([numbers >> _BITS, numbers & ((1 << _BITS) - 1)], axis=1).astype(np.int32)
