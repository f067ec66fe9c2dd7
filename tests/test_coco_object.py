"""Things of annotations: boxes, areas and masks, for which pycocotools is the referee."""

import numpy as np
import pytest
from coco_files import annotation
from pycocotools import mask as reference

from hornet_jax.data.preparing.coco.coco_object import read_object, to_rle
from hornet_jax.data.preparing.coco.coco_values import BrokenEntryError
from hornet_jax.data.preparing.coco.write_coco import _runs, to_polygons
from hornet_jax.data.views.instances import whole_mask

SIZE = (4, 6)
LABELS = {3: 0, 7: 1}


def blob(seed, size):
  rng = np.random.default_rng(seed)
  return rng.random(size) < rng.uniform(0.2, 0.8)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_polygons_are_drawn_as_coco_draws_them():
  rng = np.random.default_rng(0)
  for _ in range(50):
    height, width = (int(side) for side in rng.integers(5, 60, 2))
    polygons = [
      (rng.uniform(-0.2, 1.2, (rng.integers(3, 9), 2)) * (width, height)).ravel().tolist()
      for _ in range(rng.integers(1, 4))
    ]
    expected = reference.merge(reference.frPyObjects(polygons, height, width))
    rle = to_rle(polygons, (height, width))
    assert rle["counts"] == expected["counts"]
    np.testing.assert_array_equal(
      whole_mask(rle["counts"], (height, width)), reference.decode(expected)
    )


@pytest.mark.parametrize("seed", range(5))
def test_every_way_to_write_a_mask_gives_its_pixels(seed):
  mask = blob(seed, (13, 17))
  encoded = reference.encode(np.asfortranarray(mask, np.uint8))
  for segmentation in (
    to_polygons(mask),
    _runs(mask),
    {"size": [13, 17], "counts": encoded["counts"].decode()},
  ):
    rle = to_rle(segmentation, (13, 17))
    assert rle["counts"] == encoded["counts"]
    np.testing.assert_array_equal(whole_mask(rle["counts"], (13, 17)), mask)


def test_a_thing_is_stored_as_its_annotation_says():
  thing = read_object(annotation(5, category_id=7, bbox=[1, 1, 2.5, 2], area=5.5), SIZE, LABELS)
  mask = np.zeros(SIZE, np.uint8)
  mask[1:3, 1:4] = 1
  rle = thing.stored.pop("rle")
  np.testing.assert_array_equal(whole_mask(rle.encode(), SIZE), mask)
  stored = {"id": 5, "bbox": [1, 1, 2.5, 2], "area": 5.5, "label": 1, "is_crowd": False}
  assert thing.stored == stored
  assert thing.has_mask
  assert not thing.is_empty


@pytest.mark.parametrize("missing", [None, [], {}, "absent"])
def test_where_there_is_no_mask_it_is_the_box(missing):
  told = annotation(segmentation=missing, area=None)
  if missing == "absent":
    del told["segmentation"], told["area"], told["iscrowd"]
  thing = read_object(told, SIZE, LABELS)
  expected = np.zeros(SIZE, np.uint8)
  expected[1:3, 1:4] = 1
  np.testing.assert_array_equal(whole_mask(thing.stored["rle"].encode(), SIZE), expected)
  assert thing.stored["area"] == 6
  assert not thing.has_mask


def test_a_box_far_out_of_its_image_is_drawn_as_far_as_the_image_goes():
  """The whole box would take more memory to draw than there can be."""
  far = 9e8
  thing = read_object(annotation(bbox=[-far, 1, far + 2, far], segmentation=[]), SIZE, LABELS)
  expected = np.zeros(SIZE, np.uint8)
  expected[1:, :2] = 1
  np.testing.assert_array_equal(whole_mask(thing.stored["rle"].encode(), SIZE), expected)
  assert thing.stored["bbox"] == [-far, 1, far + 2, far]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_boxes_are_drawn_as_coco_draws_them():
  rng = np.random.default_rng(0)
  for _ in range(200):
    height, width = (int(side) for side in rng.integers(1, 30, 2))
    start, end = rng.uniform(-2, 0.9, 2), rng.uniform(0.1, 3, 2)
    x0, y0, x1, y1 = np.round([*start, *np.maximum(end, start + 0.1)], rng.integers(0, 4)) * (
      width,
      height,
      width,
      height,
    )
    box = [float(x0), float(y0), float(x1 - x0), float(y1 - y0)]
    if x1 <= max(x0, 0) or y1 <= max(y0, 0) or x0 >= width or y0 >= height:
      continue
    thing = read_object(annotation(bbox=box, segmentation=[]), (height, width), LABELS)
    expected = reference.frPyObjects(np.array([box]), height, width)[0]
    assert thing.stored["rle"].encode() == expected["counts"]


def test_where_there_is_no_box_it_is_that_of_the_mask():
  thing = read_object(annotation(bbox=None, area=0), SIZE, LABELS)
  assert (thing.stored["bbox"], thing.stored["area"]) == ([1, 1, 3, 2], 6)


def test_a_mask_between_pixels_is_empty_and_counts_as_its_box():
  tiny = [[1.1, 1.1, 1.2, 1.1, 1.2, 1.2]]
  thing = read_object(annotation(segmentation=tiny, area=None), SIZE, LABELS)
  assert thing.is_empty
  assert thing.stored["area"] == 6


def test_boxes_by_corners_are_found_out():
  """(x0, y0, x1, y1) in place of (x, y, width, height), a common mistake."""
  polygon = [[30, 30, 60, 30, 60, 60, 30, 60]]
  right = annotation(bbox=[30, 30, 30, 30], segmentation=polygon)
  wrong = annotation(bbox=[30, 30, 60, 60], segmentation=polygon)
  assert not read_object(right, (100, 100), LABELS).is_unlike
  assert read_object(wrong, (100, 100), LABELS).is_unlike


@pytest.mark.parametrize(
  ("changed", "reason"),
  [
    ({"category_id": 4}, "of no category of the file: category_id 4"),
    ({"category_id": None}, "of no category of the file: category_id None"),
    ({"category_id": "3"}, "of no category of the file: category_id '3'"),
    ({"category_id": [3]}, r"of no category of the file: category_id \[3\]"),
    ({"iscrowd": "no"}, "`iscrowd` must be 0 or 1: got 'no'"),
    ({"bbox": [1, 1, 3]}, r"`bbox` must be four finite numbers .*: got \[1, 1, 3\]"),
    ({"bbox": None, "segmentation": []}, "`bbox` must be four finite numbers .*: got None"),
    ({"bbox": ["1", "1", "3", "2"]}, "`bbox` must be four finite numbers"),
    ({"bbox": [1, 1, float("nan"), 2]}, "`bbox` must be four finite numbers"),
    ({"bbox": [1, 1, float("inf"), 2]}, "`bbox` must be four finite numbers"),
    ({"bbox": [1, 1, 10**400, 2]}, "`bbox` must be four finite numbers"),
    ({"bbox": [1, 1, 1e30, 2]}, "`bbox` must be four finite numbers"),
    ({"bbox": [True, 1, 3, 2]}, "`bbox` must be four finite numbers"),
    ({"bbox": {"x": 1}}, "`bbox` must be four finite numbers"),
    ({"bbox": [1, 1, 0, 2]}, "a box without area"),
    ({"bbox": [3, 3, -2, 2]}, "a box without area"),
    ({"bbox": [6, 1, 3, 2]}, r"a box outside of the image, of height and width \[4, 6\]"),
    ({"bbox": [-5, 1, 5, 2]}, "a box outside of the image"),
    ({"area": "6"}, "`area` must be a finite number: got '6'"),
    ({"area": float("nan")}, "`area` must be a finite number: got nan"),
    ({"segmentation": [[1, 1, 2, 2]]}, "a polygon must have at least three points"),
    ({"segmentation": [[1, 1, 2, 2, 3, 3, 4]]}, "a polygon must have at least three points"),
    ({"segmentation": [[]]}, "a polygon must have at least three points"),
    ({"segmentation": [[1, 1, "2", 2, 3, 3]]}, "a polygon must have at least three points"),
    ({"segmentation": [[1, 1, float("nan"), 2, 3, 3]]}, "a polygon must have at least three"),
    ({"segmentation": [[1, 1, 1e8, 2, 3, 3]]}, "a polygon far outside of the image"),
    ({"segmentation": [1, 1, 4, 1, 4, 3]}, "`segmentation` must be a list of polygons"),
    ({"segmentation": "1,1,4,1"}, "`segmentation` must be a list of polygons"),
    ({"segmentation": {"size": [6, 4], "counts": "08"}}, r"of height and width \[6, 4\], and its"),
    ({"segmentation": {"counts": [24]}}, "a mask of height and width None"),
    ({"segmentation": {"size": [4, 6]}}, "`counts` must be run lengths"),
    (
      {"segmentation": {"size": [4, 6], "counts": [3, 4]}},
      "run lengths must be whole numbers that",
    ),
    ({"segmentation": {"size": [4, 6], "counts": [30, -6]}}, "run lengths must be whole numbers"),
    ({"segmentation": {"size": [4, 6], "counts": ["24"]}}, "run lengths must be whole numbers"),
    ({"segmentation": {"size": [4, 6], "counts": "zz"}}, "run lengths that are none"),
    ({"segmentation": {"size": [4, 6], "counts": "ö"}}, "run lengths that are none"),
    ({"segmentation": {"size": [4, 6], "counts": ""}}, "run lengths that are none"),
    ({"segmentation": {"size": [4, 6], "counts": "o" * 60}}, "run lengths that are none"),
  ],
)
def test_what_cannot_be_used_says_why(changed, reason):
  with pytest.raises(BrokenEntryError, match=reason) as error:
    read_object(annotation(**changed), SIZE, LABELS)
  assert len(str(error.value)) < 250
