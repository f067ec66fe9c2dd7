"""The mean IoU of a split is that of a brute-force count, however the images are dealt out."""

import json

import numpy as np
import pytest

from hornet_jax.tasks.mean_iou import MeanIou, class_ious
from hornet_jax.tasks.preview import SIDE
from hornet_jax.tasks.shown_masks import class_section, mask_tables

K = 6


@pytest.fixture(scope="module")
def masks():
  """True and predicted classes of nine images; 255 is ignored, class 4 occurs in neither."""
  rng = np.random.default_rng(0)
  classes = [0, 1, 2, 3, 5]
  true = rng.choice([*classes, 255], (9, 12, 10))
  predicted = np.where(rng.random(true.shape) < 0.6, true, rng.choice(classes, true.shape))
  return true, np.where(predicted == 255, 0, predicted)


def confusion_of(true, predicted):
  found = np.zeros((K, K), np.int32)
  for t, p in zip(true.ravel(), predicted.ravel(), strict=True):
    if t != 255:
      found[t, p] += 1
  return found


def results_of(masks, rows):
  true, predicted = masks
  confusion = np.stack([confusion_of(true[i], predicted[i]) for i in rows])
  return {
    "confusion": confusion,
    "loss": np.asarray(rows, np.float32),
    "index": np.asarray(rows),
    "preview": np.zeros((len(rows), SIDE, SIDE), np.uint8),
  }


def brute_force(true, predicted):
  ious = []
  for k in range(K):
    counts = true != 255
    union = counts & ((true == k) | (predicted == k))
    if union.any():
      ious.append((counts & (true == k) & (predicted == k)).sum() / union.sum())
  return float(np.mean(ious))


def test_it_is_what_counting_gives(masks):
  true, predicted = masks
  metric = MeanIou(K)
  metric.update(results_of(masks, range(9)))
  found = metric.compute()
  assert found["miou"] == pytest.approx(brute_force(true, predicted), abs=1e-15)
  counts = true != 255
  assert found["pixel_accuracy"] == pytest.approx((true == predicted)[counts].mean(), abs=1e-15)
  of_class = [(predicted[true == k] == k).mean() for k in range(K) if (true == k).any()]
  assert found["mean_class_accuracy"] == pytest.approx(np.mean(of_class), abs=1e-15)
  assert found["loss"] == 4.0
  index, ious = metric.by_image()
  assert index.tolist() == list(range(9))
  for i in range(9):
    assert ious[i] == pytest.approx(brute_force(true[i], predicted[i]), abs=1e-15)


def test_parts_merge_to_the_whole(masks):
  whole = MeanIou(K)
  whole.update(results_of(masks, range(9)))
  parts = [MeanIou(K), MeanIou(K)]
  for part, rows in zip(parts, ([0, 1, 2, 3, 4], [5, 6, 7, 8]), strict=True):
    for row in rows:
      part.update(results_of(masks, [row]))
  both = parts[0].merge(parts[1])
  assert both.count == 9
  assert both.compute() == whole.compute()
  np.testing.assert_array_equal(both.confusion, whole.confusion)
  for found, expected in ((both.best(), whole.best()), (both.worst(), whole.worst())):
    assert [preview.index for preview in found] == [preview.index for preview in expected]
  _, ious = whole.by_image()
  order = np.argsort(-ious, kind="stable").tolist()
  assert [preview.index for preview in whole.best()] == order[:4]
  assert [preview.index for preview in whole.worst()] == order[:4:-1]


def test_classes(masks):
  metric = MeanIou(K)
  metric.update(results_of(masks, range(9)))
  names = [f"class {k}" for k in range(K)]
  rows = metric.per_class(names)
  assert [row["class"] for row in rows] == [name for k, name in enumerate(names) if k != 4]
  assert np.isnan(class_ious(metric.confusion)[4])
  assert sum(row["pixels"] for row in rows) == metric.confusion.sum()
  never = MeanIou(2)
  never.update(dict(results_of(masks, range(1)), confusion=np.array([[[3, 2], [0, 0]]])))
  assert [row["accuracy"] for row in never.per_class("ab")] == [0.6, None]
  json.dumps(mask_tables(never, ["true", "true_"]), allow_nan=False)  # as programs read it
  assert mask_tables(never, ["true", "true_"])["confusion"] == [
    {"true__": "true", "true": 3, "true_": 2},
    {"true__": "true_", "true": 0, "true_": 0},
  ]
  assert class_section(never, "test", "ab").values["rows"][1] == ["b", "0.0%", "", "0"]
  assert MeanIou(K).confusion.dtype == np.int64  # a split has more pixels than 2^31
