"""Resizing equals Pillow's, to the last bit."""

import numpy as np
import pytest
from PIL import Image

from hornet_jax.data.pixels.resize import resize, resize_with_pillow


@pytest.mark.parametrize("seed", range(8))
def test_resizing_is_pillows(seed):
  """Larger and smaller, wide and tall, parts of images; the width first in any version."""
  rng = np.random.default_rng(seed)
  for _ in range(25):
    (h, w), (height, width) = rng.integers(1, 200, 2), rng.integers(1, 120, 2).tolist()
    pixels = rng.integers(0, 256, (h + 5, w + 7, 4), np.uint8)[2 : 2 + h, 3 : 3 + w]
    image = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
    expected = np.asarray(image.resize((width, h), 3).resize((width, height), 3))
    resized = resize(pixels, height, width)
    np.testing.assert_array_equal(resized, expected, err_msg=f"{(h, w)} {(height, width)}")
    other_order = resize_with_pillow(pixels, height, width)
    assert np.abs(other_order - expected.astype(int)).mean() < 1


@pytest.mark.parametrize("function", [resize, resize_with_pillow])
def test_a_window_is_cut_out_of_the_whole_and_mirrored(function):
  pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 4), np.uint8)
  whole = function(pixels, 20, 24)
  window = function(pixels, 20, 24, window=(3, 5, 10, 8), flip=True)
  np.testing.assert_array_equal(window, whole[3:13, 5:13][:, ::-1])
  np.testing.assert_array_equal(function(pixels, 20, 24, flip=True), whole[:, ::-1])


def test_the_fourth_byte_is_not_used():
  pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 4), np.uint8)
  other = pixels.copy()
  other[..., 3] = 0
  np.testing.assert_array_equal(resize(pixels, 5, 5), resize(other, 5, 5))
