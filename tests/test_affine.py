"""Shifted and sheared images equal Pillow's, to the last bit."""

import numpy as np
import pytest
from PIL import Image

from hornet_jax.data.pixels.affine import slide

FILL = (124, 116, 104)


@pytest.mark.parametrize("along_rows", [True, False])
@pytest.mark.parametrize(
  ("shear", "shift"),
  [(0.0, 0.0), (0.0, 7.3), (0.0, -200.0), (0.0, 23.4), (0.27, 0.0), (-0.3, 0.0), (0.1, -5.0)],
)
def test_pixels_are_pillows(shear, shift, along_rows):
  image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (37, 52, 3), np.uint8))
  matrix = (1, shear, shift, 0, 1, 0) if along_rows else (1, 0, 0, shear, 1, shift)
  method, resample = Image.Transform.AFFINE, Image.Resampling.BICUBIC
  expected = image.transform(image.size, method, matrix, resample, fillcolor=FILL)
  result = slide(image, shear=shear, shift=shift, along_rows=along_rows, fill=FILL)
  np.testing.assert_array_equal(result, expected)
