"""Pasted masks are those of torch's sampling of whole images."""

import numpy as np
import pytest
from golden_detection import ARRAYS

from hornet_jax.dense.boxes import paste_mask
from hornet_jax.errors import InputError


@pytest.mark.parametrize("threshold", [0.5, 0.25, 1e-6])
def test_masks_are_those_of_grid_sample(threshold):
  case = [ARRAYS[f"paste/{name}"] for name in ("masks", "boxes", "found")]
  number = 0
  for mask, box, found in zip(*case, strict=True):
    pasted = paste_mask(mask, box, found.shape, threshold)
    assert pasted.dtype == bool
    decided = np.abs(found - threshold) > 1e-6 if threshold > 1e-5 else found != threshold
    assert np.array_equal(pasted & decided, (found >= threshold) & decided)
    number += pasted.any()
  assert number >= 8


def test_a_full_mask_covers_the_pixels_whose_centres_are_in_its_box():
  pasted = paste_mask(np.ones((28, 28), "f4"), np.array([2, 3, 7, 9], "f4"), (12, 10))
  expected = np.zeros((12, 10), bool)
  expected[3:9, 2:7] = True
  assert np.array_equal(pasted, expected)


def test_a_box_beyond_the_image_or_without_area_covers_nothing():
  ones = np.ones((4, 4), "f4")
  for box in ([-9, -9, -5, -5], [50, 2, 60, 9], [3, 3, 3, 9], [5, 5, 2, 2]):
    assert not paste_mask(ones, np.array(box, "f4"), (20, 30)).any()


def test_impossible_settings_are_refused():
  ones, box = np.ones((4, 4), "f4"), np.array([0, 0, 2, 2], "f4")
  with pytest.raises(InputError, match="must be > 0 and <= 1: got 0"):
    paste_mask(ones, box, (4, 4), 0.0)
  with pytest.raises(InputError, match="four finite corners"):
    paste_mask(ones, box * np.nan, (4, 4))
