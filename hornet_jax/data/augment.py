"""Random changes to a training image, on the host, keyed by the example."""

import numpy as np


def random_pad_crop(image: np.ndarray, padding: int, rng: np.random.Generator) -> np.ndarray:
  """Shifts an image by up to `padding` pixels each way; what comes in is black.

  Source: timm 0.4.12 `create_transform` for images of at most 32 pixels
  (RandomCrop with padding 4).

  Args:
    image: uint8 [H, W, C].
    padding: pixels added on every side before an H x W window is cut out; >= 0.
    rng: the example's generator.

  Returns:
    uint8 [H, W, C].
  """
  height, width, _ = image.shape
  top, left = rng.integers(0, 2 * padding, size=2, endpoint=True)
  padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
  return padded[top : top + height, left : left + width]
