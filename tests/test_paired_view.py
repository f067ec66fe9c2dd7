"""Images and masks are scaled, cut and flipped alike, with Pillow's pixels."""

import numpy as np
import pytest
from PIL import Image

from hornet_jax.data.views.masks import IGNORED
from hornet_jax.data.views.paired_view import (
  PairedAugmentation,
  nearest_window,
  resize_window,
  scaled_size,
)
from hornet_jax.data.views.photometric import _linear, _recoloured, distort
from hornet_jax.errors import InputError

BARE = {"ratios": (1.0, 1.0), "max_class_share": 1.0, "flip_rate": 0.0, "photometric": False}


def picture(height, width, seed=0):
  rng = np.random.default_rng(seed)
  small = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
  return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def blobs(height, width, classes=5, seed=1):
  rng = np.random.default_rng(seed)
  small = rng.integers(0, classes, (5, 7), dtype=np.uint8)
  return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.NEAREST))


@pytest.mark.parametrize(
  ("size", "limits", "expected"),
  [
    ((480, 640), (2048, 512), (512, 683)),
    ((512, 3000), (2048, 512), (350, 2048)),  # the longer side limits
    ((640, 480), (1024, 256), (341, 256)),
    ((1, 1000), (100, 50), (1, 100)),
  ],
)
def test_the_largest_size_of_the_same_aspect(size, limits, expected):
  assert scaled_size(size, *limits) == expected


@pytest.mark.parametrize("size", [(37, 61), (120, 95), (64, 200), (64, 80)])
def test_a_window_is_a_part_of_the_whole(size):
  pixels, mask = picture(64, 80), blobs(64, 80)
  whole = Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR)
  of_mask = Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST)
  for window in ((0, 0, *size), (3, 5, 20, 30), (size[0] - 17, size[1] - 21, 17, 21)):
    top, left, height, width = window
    part = np.s_[top : top + height, left : left + width]
    found = resize_window(pixels, size, window).astype(int)
    assert np.abs(found - np.asarray(whole, int)[part]).max() <= 1  # the box is rounded to float32
    np.testing.assert_array_equal(nearest_window(mask, size, window), np.asarray(of_mask)[part])


def test_both_are_cut_at_one_place():
  """Where an image is the picture of its mask, its view is that of the mask's view."""
  mask = blobs(90, 130)
  pixels = np.repeat((mask * 40)[..., None], 3, axis=2)
  augmentation = PairedAugmentation(48, 130, 90, **BARE | {"flip_rate": 0.5})
  places = set()
  for seed in range(12):
    image, classes = augmentation.view(pixels, mask, np.random.default_rng(seed))
    assert image.shape == (48, 48, 3)
    np.testing.assert_array_equal(image[..., 0], classes * 40)
    places.add(classes.tobytes())
  assert len(places) == 12
  again, _ = augmentation.view(pixels, mask, np.random.default_rng(11))
  np.testing.assert_array_equal(again, image)


def test_what_the_image_lacks_is_filled_and_ignored():
  augmentation = PairedAugmentation(64, 40, 40, **BARE, fill=(1, 2, 3))
  image, classes = augmentation.view(picture(20, 40), blobs(20, 40), np.random.default_rng(0))
  assert (classes[20:] == IGNORED).all()
  assert (classes[:, 40:] == IGNORED).all()
  assert (classes[:20, :40] != IGNORED).all()
  assert (image[20:] == (1, 2, 3)).all()
  np.testing.assert_array_equal(image[:20, :40], picture(20, 40))


def test_crops_of_nearly_one_class_are_drawn_again():
  """The rule of mmseg: another one up to ten times; pixels that are ignored do not count."""
  mask = np.zeros((100, 100), np.uint8)
  mask[:50] = IGNORED
  mask[:, 80:] = 1
  mask[:, 90:] = 2
  fills = []
  for share in (1.0, 0.75):
    augmentation = PairedAugmentation(30, 100, 100, **BARE | {"max_class_share": share})
    many = []
    for seed in range(60):
      _, classes = augmentation.view(picture(100, 100), mask, np.random.default_rng(seed))
      counts = np.bincount(classes[classes != IGNORED], minlength=3)
      many.append(counts.max() / max(counts.sum(), 1) < 0.75 and counts.sum() > 0)
    fills.append(np.mean(many))
  plain, again = fills
  assert again == pytest.approx(1 - (1 - plain) ** 11, abs=0.1)
  assert again > 3 * plain


def test_a_mask_of_one_class_ends_with_the_eleventh_crop():
  class Counting(np.random.Generator):
    corners = 0

    def integers(self, largest, endpoint):
      assert endpoint
      self.corners += 1
      return self.corners

  rng = Counting(np.random.PCG64(0))
  augmentation = PairedAugmentation(30, 100, 100)
  assert augmentation._place(np.zeros((100, 100), np.uint8), (100, 100), rng) == (21, 22)
  assert rng.corners == 22


def test_colours():
  grey = np.repeat(np.arange(0, 250, 10, dtype=np.uint8)[None, :, None], 3, axis=2)
  coloured = picture(16, 16)
  changed, means = 0, []
  for seed in range(200):
    result = distort(coloured, np.random.default_rng(seed))
    assert result.dtype == np.uint8
    changed += bool((result != coloured).any())
    of_grey = distort(grey, np.random.default_rng(seed))
    assert (of_grey == of_grey[..., :1]).all()  # grey has no hue, and none is made
    assert (np.diff(of_grey[0, :, 0].astype(int)) >= 0).all()
    means.append(of_grey.mean() - grey.mean())
  assert changed > 180  # all but about one in sixteen
  assert abs(np.mean(means)) < 5


def test_hue_saturation_and_contrast():
  red = np.full((1, 1, 3), (200, 0, 0), np.uint8)
  np.testing.assert_allclose(_recoloured(red, 1.0, 128), [[[0, 200, 200]]], atol=3)  # across it
  assert _recoloured(red, 0.0, 0).tolist() == [[[200, 200, 200]]]
  np.testing.assert_array_equal(_linear(np.array([0, 100, 200]), 1.5, 0.0), [0, 150, 255])
  np.testing.assert_array_equal(_linear(np.array([0, 100, 200]), 1.0, -32.0), [0, 68, 168])


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"ratios": (0.0, 1.0)}, "`ratios` must go from a positive number up"),
    ({"long_side": 0}, "must be pixels: expected at least 1, got 32, 0 and 64"),
    ({"ratios": (2.0, 1.0)}, "`ratios` must go from a positive number up"),
    ({"max_class_share": 0.0}, "`max_class_share` must be > 0"),
  ],
)
def test_bad_settings(fields, message):
  with pytest.raises(InputError, match=message):
    PairedAugmentation(**{"crop_size": 32, "long_side": 64, "short_side": 64} | fields)
