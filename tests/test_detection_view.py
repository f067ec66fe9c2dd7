"""Views of an image and the things on it: boxes, bitmaps and pixels stay together."""

import dataclasses

import numpy as np
import pytest
from faster_coco_eval.core import mask as masks
from PIL import Image

from hornet_jax.data.views.detection_view import DetectionView, canvas_of
from hornet_jax.data.views.instances import Instances, bitmap, read_instances, whole_mask
from hornet_jax.data.views.paired_view import scaled_size
from hornet_jax.errors import InputError

SMALL = DetectionView(
  canvases=((128, 160), (160, 128)),
  long_side=150,
  short_side=120,
  short_sides=(60, 90, 120),
  crop_short_sides=(70, 100),
  crop_sides=(40, 90),
  max_objects=4,
  mask_side=28,
)


def instances_of(shown, labels=None, **other):
  """Things whose boxes are those around their masks."""
  rles = [masks.encode(np.asfortranarray(mask, np.uint8)) for mask in shown]
  boxes = np.array([masks.toBbox(rle) for rle in rles]).reshape(-1, 4)
  boxes[:, 2:] += boxes[:, :2]
  count = len(shown)
  values = {
    "size": shown[0].shape,
    "boxes": boxes,
    "labels": np.arange(count, dtype=np.int32) if labels is None else labels,
    "is_crowd": np.zeros(count, bool),
    "areas": np.array([mask.sum() for mask in shown], np.float32),
    "rles": [rle["counts"] for rle in rles],
  }
  return Instances(**(values | other))


def scene(size=(101, 137)):
  """An image of three things, each in a channel of its own, and their masks."""
  y, x = np.mgrid[: size[0], : size[1]]
  shown = [
    (y - 40) ** 2 + (x - 50) ** 2 < 30**2,
    (abs(y - 70) < 20) & (abs(x - 100) < 30),
    (y > 5) & (x > 90) & (y + x < 140),
  ]
  return np.stack(shown, -1).astype(np.uint8) * 255, shown


def laid(view, canvas):
  """Pastes the bitmaps of a view into their boxes: a mask of the canvas for each."""
  pasted = []
  for box, mask in zip(view["boxes"], view["masks"], strict=True):
    x0, y0, x1, y1 = (round(float(v)) for v in box)
    whole = np.zeros(canvas, bool)
    if x1 > x0 and y1 > y0:
      part = Image.fromarray(mask * 255).resize((x1 - x0, y1 - y0), Image.Resampling.BILINEAR)
      whole[y0:y1, x0:x1] = np.asarray(part) >= 128
    pasted.append(whole)
  return np.array(pasted)


@pytest.mark.parametrize("seed", range(20))
def test_boxes_and_bitmaps_show_what_the_pixels_show(seed):
  """Each thing is a channel: the pixels of the view are the reference of its mask and its box."""
  pixels, shown = scene()
  view = SMALL.training(pixels, instances_of(shown), np.random.default_rng(seed))
  height, width = view["size"]
  seen = view["image"][:height, :width] >= 128
  of_bitmaps = laid(view, view["image"].shape[:2])
  labels = view["labels"][view["labels"] >= 0].tolist()
  for k, label in enumerate(labels):
    expected = seen[..., label]
    got = of_bitmaps[k][:height, :width]
    both = (expected & got).sum() / (expected | got).sum()
    assert both > 0.9 or (expected | got).sum() < 60, (label, both)
    x0, y0, x1, y1 = view["boxes"][k]
    assert 0 <= x0 < x1 <= width
    assert 0 <= y0 < y1 <= height
    if expected.sum() > 60 and x1 - x0 > 8 and y1 - y0 > 8:
      rows, columns = (np.flatnonzero(expected.any(axis)) for axis in (1, 0))
      around = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
      cut = [x0 < 1, y0 < 1, x1 > width - 1, y1 > height - 1]
      # A box keeps its extent where a border cuts its thing: what is left may be smaller.
      near = np.abs(np.array(around) - (x0, y0, x1, y1)) <= 1.5
      assert all(near) or any(cut), (around, view["boxes"][k])
  for label in set(range(3)) - set(labels):
    assert seen[..., label].sum() <= 1
  assert not view["boxes"][len(labels) :].any()
  assert not view["masks"][len(labels) :].any()
  outside = view["image"].copy()
  outside[:height, :width] = SMALL.fill
  np.testing.assert_array_equal(outside, np.broadcast_to(SMALL.fill, outside.shape))


def test_a_flip_mirrors_the_image_its_boxes_and_its_bitmaps():
  pixels, shown = scene()
  one, other = (
    dataclasses.replace(SMALL, flip_rate=rate).training(
      pixels, instances_of(shown), np.random.default_rng(3)
    )
    for rate in (0.0, 1.0)
  )
  height, width = one["size"]
  np.testing.assert_array_equal(one["size"], other["size"])
  np.testing.assert_array_equal(
    one["image"][:height, :width], other["image"][:height, :width][:, ::-1]
  )
  count = (one["labels"] >= 0).sum()
  mirrored = one["boxes"][:count][:, [2, 1, 0, 3]] * (-1, 1, -1, 1) + (width, 0, width, 0)
  np.testing.assert_allclose(other["boxes"][:count], mirrored, atol=1e-4)
  np.testing.assert_array_equal(other["masks"], one["masks"][:, :, ::-1])


def test_without_a_crop_boxes_are_scaled_by_the_exact_ratio_of_each_side():
  pixels, shown = scene()
  still = dataclasses.replace(SMALL, crop_rate=0.0, flip_rate=0.0)
  instances = instances_of(shown)
  view = still.training(pixels, instances, np.random.default_rng(0))
  height, width = view["size"]
  ratios = np.array([width / 137, height / 101] * 2)
  np.testing.assert_allclose(view["boxes"][:3], instances.boxes * ratios, rtol=1e-6)


def test_the_draws_are_those_of_the_two_policies():
  """Short sides and crops of a large image, over many draws."""
  view = DetectionView()
  sides, crops = set(), set()
  for seed in range(400):
    window, size = view._drawn((480, 640), np.random.default_rng(seed))
    assert max(size) <= 1333
    if window == (0.0, 0.0, 640.0, 480.0):
      sides.add(min(size))
    else:
      assert 0 <= window[0] < window[2] <= 640
      assert 0 <= window[1] < window[3] <= 480
      crops.add(seed)
  assert sides == set(range(480, 801, 32))
  assert 150 < len(crops) < 250


def test_a_view_is_that_of_its_generator():
  pixels, shown = scene()

  def make(seed):
    return SMALL.training(pixels, instances_of(shown), np.random.default_rng(seed))

  first, second, other = make(0), make(0), make(5)
  for key in first:
    np.testing.assert_array_equal(first[key], second[key], key)
  assert (first["image"] != other["image"]).any()


@pytest.mark.parametrize("size", [(101, 137), (137, 101), (300, 40), (5, 9), (1, 1), (3000, 2000)])
def test_views_fit_their_canvas(size):
  pixels = np.zeros((*size, 3), np.uint8)
  canvas = SMALL.canvases[SMALL.canvas(size)]
  none = instances_of([np.ones(size, bool)]).taken(np.array([False]))
  for seed in range(5):
    view = SMALL.training(pixels, none, np.random.default_rng(seed))
    assert view["image"].shape == (*canvas, 3)
    assert (view["size"] >= 1).all()
    assert (view["size"] <= canvas).all()
    assert (view["labels"] == -1).all()
  view = SMALL.evaluation(pixels)
  assert view["image"].shape == (*canvas, 3)
  np.testing.assert_array_equal(view["own"], size)
  assert (view["size"] <= canvas).all()


def test_an_evaluated_image_is_scaled_to_the_limits_of_both_sides():
  view = DetectionView().evaluation(np.zeros((480, 640, 3), np.uint8))
  assert view["size"].tolist() == [800, 1067]
  assert view["image"].shape == (800, 1088, 3)


@pytest.mark.parametrize(
  ("size", "canvas"),
  [
    ((480, 640), (800, 1088)),
    ((640, 480), (1088, 800)),
    ((500, 500), (800, 1088)),
    ((427, 640), (800, 1344)),
    ((640, 427), (1344, 800)),
    ((100, 1000), (800, 1344)),
  ],
)
def test_an_image_belongs_to_the_smallest_canvas_that_it_fits(size, canvas):
  view = DetectionView()
  assert view.canvases[view.canvas(size)] == canvas


def test_where_none_fits_the_image_is_scaled_down_the_least():
  canvases = [(32, 32), (64, 96), (64, 64)]
  assert canvas_of((100, 150), canvases, 150, 100) == 1
  assert canvas_of((100, 100), canvases, 150, 100) == 2


def test_every_size_fits_a_canvas_of_the_default():
  view = DetectionView()
  sizes = np.random.default_rng(0).integers(30, 2000, (100, 2)).repeat(2, axis=0)
  found = view.canvases_of(sizes)
  assert set(found.tolist()) == set(range(4))
  for size, canvas in zip(sizes.tolist(), found.tolist(), strict=True):
    assert canvas == view.canvas(size)
    canvas = view.canvases[canvas]
    scaled = scaled_size(size, view.long_side, view.short_side)
    assert scaled[0] <= canvas[0]
    assert scaled[1] <= canvas[1]


def test_no_images_belong_to_no_canvas():
  assert DetectionView().canvases_of(np.zeros((0, 2), np.int32)).shape == (0,)


def test_crowds_and_what_is_under_a_pixel_are_not_trained_on():
  pixels, shown = scene()
  crowd = instances_of(shown, is_crowd=np.array([False, True, False]))
  view = SMALL.training(pixels, crowd, np.random.default_rng(0))
  assert 1 not in view["labels"]
  boxes = instances_of(shown).boxes
  boxes[0, 2] = boxes[0, 0] + 0.9
  boxes[2] = (140, 5, 150, 50)  # outside of the image
  assert instances_of(shown, boxes=boxes).for_training().labels.tolist() == [1]
  areas = np.array([0, 1, 1], np.float32)
  assert instances_of(shown, areas=areas).for_training().labels.tolist() == [1, 2]


def test_more_things_than_there_is_room_for_are_refused():
  pixels, shown = scene()
  with pytest.raises(InputError, match=r"at most 4 things .* got 6. Hint: raise detection.max_obj"):
    SMALL.training(pixels, instances_of(shown * 2), np.random.default_rng(0))
  many = instances_of(shown * 2, is_crowd=np.array([False] * 4 + [True] * 2))
  SMALL.training(pixels, many, np.random.default_rng(0))
  with pytest.raises(InputError, match=r"expected \[101, 137\], got \[101, 136\]"):
    SMALL.training(pixels[:, 1:], instances_of(shown), np.random.default_rng(0))


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    ({"canvases": ()}, "`canvases` must be"),
    ({"canvases": ((800, 1000),)}, "multiples of 32"),
    ({"canvases": ((0, 32),)}, "multiples of 32"),
    ({"max_objects": 0}, "must be at least 1"),
    ({"short_sides": (0,)}, "must be at least 1"),
    ({"short_sides": ()}, "must name at least one side"),
    ({"crop_short_sides": ()}, "must name at least one side"),
    ({"crop_sides": (9, 8)}, "from the least up"),
    ({"crop_rate": 1.5}, "`crop_rate` must be a probability"),
    ({"flip_rate": -0.5}, "`flip_rate` must be a probability"),
  ],
)
def test_numbers_out_of_their_range_are_refused(changed, message):
  with pytest.raises(InputError, match=message):
    dataclasses.replace(SMALL, **changed)


def test_a_bitmap_is_what_its_box_holds():
  def cut(mask, box, side):
    return bitmap(mask, np.array(box, float), side)

  mask = np.zeros((20, 30), np.uint8)
  mask[5:15, 10:20] = 1
  assert cut(mask, (10, 5, 20, 15), 7).all()
  np.testing.assert_array_equal(cut(mask, (10, 5, 20, 15), 10), mask[5:15, 10:20])
  half = cut(mask, (0, 5, 20, 15), 8)
  np.testing.assert_array_equal(half, np.tile(np.arange(8) >= 4, (8, 1)))
  assert cut(mask, (19.2, 14.3, 19.7, 14.8), 5).all()
  assert not cut(mask, (25, 0, 30, 20), 5).any()
  larger = cut(mask, (5, 0, 25, 20), 40)
  np.testing.assert_array_equal(larger[10:30, 10:30], 1)
  assert larger.sum() == 20 * 20


def test_an_example_is_read_whether_it_has_things_or_none():
  mask = np.zeros((4, 6), np.uint8)
  mask[1:3, 2:5] = 1
  rle = masks.encode(np.asfortranarray(mask))["counts"]
  objects = {
    "id": [np.int64(4)],
    "bbox": [np.array([2, 1, 3, 2], np.float32)],
    "area": [np.float32(6)],
    "label": [np.int64(1)],
    "is_crowd": [np.True_],
    "rle": [rle],
  }
  found = read_instances({"height": 4, "width": 6, "objects": objects})
  assert (found.size, found.boxes.tolist()) == ((4, 6), [[2, 1, 5, 3]])
  assert (found.labels.tolist(), found.is_crowd.tolist()) == ([1], [True])
  np.testing.assert_array_equal(whole_mask(found.rles[0], found.size), mask)
  none = read_instances({"height": 4, "width": 6, "objects": {key: [] for key in objects}})
  assert len(none) == 0
  assert none.boxes.shape == (0, 4)
