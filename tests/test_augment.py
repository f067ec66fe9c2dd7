"""Random views of training images."""

import numpy as np
import pytest
from PIL import Image

from hornet_jax.data.augment import Augmentation, _random_box, random_resized_crop
from hornet_jax.errors import InputError


def test_random_boxes_have_the_official_areas_and_aspects():
  rng = np.random.default_rng(0)
  boxes = np.array([_random_box((400, 300), (0.08, 1.0), (3 / 4, 4 / 3), rng) for _ in range(4000)])
  left, top, width, height = boxes.T
  assert (left >= 0).all()
  assert (top >= 0).all()
  assert (left + width <= 400).all()
  assert (top + height <= 300).all()
  area, aspect = width * height / 400 / 300, width / height
  assert 0.075 < area.min() < 0.1
  assert 0.9 < area.max() <= 1
  assert aspect.min() == pytest.approx(3 / 4, abs=0.02)
  assert aspect.max() == pytest.approx(4 / 3, abs=0.02)
  assert left.max() > 250
  assert top.max() > 180


@pytest.mark.parametrize(
  ("image_size", "box"), [((1000, 10), (493, 0, 13, 10)), ((10, 1000), (0, 493, 10, 13))]
)
def test_where_no_box_fits_the_largest_central_one_is_taken(image_size, box):
  rng = np.random.default_rng(0)
  assert _random_box(image_size, (0.9, 1.0), (3 / 4, 4 / 3), rng) == box


def test_one_pixel_becomes_an_image():
  rng = np.random.default_rng(0)
  pixel = Image.new("RGB", (1, 1), (9, 8, 7))
  view = random_resized_crop(pixel, 5, (0.08, 1.0), (3 / 4, 4 / 3), rng)
  np.testing.assert_array_equal(view, np.broadcast_to(np.uint8([9, 8, 7]), (5, 5, 3)))


def test_flips_are_as_frequent_as_asked():
  ramp = Image.fromarray(np.tile(np.arange(8, dtype=np.uint8)[None, :, None], (8, 1, 3)))
  augmentation = Augmentation("padded", flip_rate=0.25)
  rng = np.random.default_rng(0)
  views = [augmentation.view(ramp, 8, rng) for _ in range(2000)]
  flipped = np.mean([view[0, 0, 0] == 7 for view in views])
  assert abs(flipped - 0.25) < 0.04


def test_an_unknown_crop_names_the_choices():
  with pytest.raises(InputError, match="random_resized"):
    Augmentation("random_resize")
