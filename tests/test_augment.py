"""Random views of training images."""

import numpy as np
import pytest
from PIL import Image

from hornet_jax.data.pixels.decode import to_pixels
from hornet_jax.data.views.augment import Augmentation, random_box
from hornet_jax.errors import InputError


def test_random_boxes_have_the_official_areas_and_aspects():
  rng = np.random.default_rng(0)
  boxes = np.array([random_box((300, 400), (0.08, 1.0), (3 / 4, 4 / 3), rng) for _ in range(4000)])
  top, left, height, width = boxes.T
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
  ("image_size", "box"), [((10, 1000), (0, 493, 10, 13)), ((1000, 10), (493, 0, 13, 10))]
)
def test_where_no_box_fits_the_largest_central_one_is_taken(image_size, box):
  rng = np.random.default_rng(0)
  assert random_box(image_size, (0.9, 1.0), (3 / 4, 4 / 3), rng) == box


def test_a_view_is_the_box_resized_by_pillow_and_flipped():
  """Both libraries, from the same draws."""
  pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 4), np.uint8)
  views = {}
  for imaging in ("turbo", "pillow"):
    augmentation = Augmentation("random_resized", flip_rate=0.5, imaging=imaging)
    rng = np.random.default_rng(1)
    views[imaging] = [augmentation.view(pixels, 16, rng) for _ in range(20)]
  rng = np.random.default_rng(1)
  for turbo, pillow in zip(*views.values(), strict=True):
    top, left, height, width = random_box((40, 60), (0.08, 1.0), (3 / 4, 4 / 3), rng)
    part = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
    part = part.crop((left, top, left + width, top + height))
    by_hand = part.resize((16, height), 3).resize((16, 16), 3)
    if rng.random() < 0.5:
      by_hand = by_hand.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    np.testing.assert_array_equal(turbo, by_hand)
    assert np.abs(pillow.astype(int) - turbo).mean() < 1


def test_one_pixel_becomes_an_image():
  pixel = to_pixels(Image.new("RGB", (1, 1), (9, 8, 7)))
  view = Augmentation("random_resized").view(pixel, 5, np.random.default_rng(0))
  np.testing.assert_array_equal(view, np.broadcast_to(np.uint8([9, 8, 7]), (5, 5, 3)))


def test_flips_are_as_frequent_as_asked():
  ramp = np.tile(np.arange(8, dtype=np.uint8)[None, :, None], (8, 1, 4))
  augmentation = Augmentation("padded", flip_rate=0.25)
  rng = np.random.default_rng(0)
  views = [augmentation.view(ramp, 8, rng) for _ in range(2000)]
  flipped = np.mean([view[0, 0, 0] == 7 for view in views])
  assert abs(flipped - 0.25) < 0.04


def test_rand_augment_comes_last():
  """Of a grey image nothing but RandAugment makes another."""
  grey = np.full((20, 20, 4), 100, np.uint8)
  augmentation = Augmentation("random_resized", rand_augment="rand-m9-mstd0.5-inc1")
  rng = np.random.default_rng(0)
  changed = [(augmentation.view(grey, 8, rng) != 100).any() for _ in range(200)]
  assert 0.3 < np.mean(changed) < 0.8


@pytest.mark.parametrize(
  ("field", "message"),
  [
    ({"crop": "random_resize"}, "did you mean 'random_resized'"),
    ({"rand_augment": "rand-m9"}, "timm's notation"),
    ({"imaging": "pilow"}, "did you mean 'pillow'"),
  ],
)
def test_bad_settings_name_the_choices(field, message):
  with pytest.raises(InputError, match=message):
    Augmentation(**{"crop": "random_resized", **field})
