"""Tables of what a classifier says agree with what it said, worked out by hand."""

import numpy as np
import pytest

from hornet_jax.tasks import predictions as predictions_module
from hornet_jax.tasks.predictions import Accuracy, Predictions, confusion, per_class

NAMES = ["ant", "bee", "cat"]


@pytest.fixture
def predictions():
  label, prediction = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 1, 1, 1, 2, 0])
  rank = (label != prediction).astype(int)
  ones = np.ones(6, np.float32)
  return Predictions(np.arange(6), label, prediction, ones / 2, ones, rank)


def test_confusions(predictions, monkeypatch):
  assert confusion(predictions, NAMES) == [
    {"true": "ant", "ant": 1, "bee": 2, "cat": 0},
    {"true": "bee", "ant": 0, "bee": 1, "cat": 0},
    {"true": "cat", "ant": 1, "bee": 0, "cat": 1},
  ]
  monkeypatch.setattr(predictions_module, "_LARGEST_MATRIX", 2)
  assert confusion(predictions, NAMES) == [
    {"true": "ant", "predicted": "ant", "images": 1},
    {"true": "ant", "predicted": "bee", "images": 2},
    {"true": "bee", "predicted": "bee", "images": 1},
    {"true": "cat", "predicted": "ant", "images": 1},
    {"true": "cat", "predicted": "cat", "images": 1},
  ]


def test_classes(predictions):
  first = per_class(predictions, NAMES)[0]
  assert (first["class"], first["images"], first["taken_for"], first["times"]) == (
    "ant",
    3,
    "bee",
    2,
  )
  assert first["top1"] == pytest.approx(1 / 3)


def test_each_class_counts_alike(predictions):
  """Of three, one and two examples 1, 1 and 1 are right; a class that does not occur is none."""
  part = {name: value for name, value in vars(predictions).items() if value is not None}
  part["label"] = np.where(part["label"] == 2, 7, part["label"])
  computed = Accuracy([part]).compute()
  assert computed["mean_class_accuracy"] == pytest.approx((1 / 3 + 1 + 1 / 2) / 3)
  assert computed["top1"] == pytest.approx(1 / 2)


def test_five_classes_have_no_top5(predictions):
  part = {name: value for name, value in vars(predictions).items() if value is not None}
  few, many = Accuracy(has_top5=False), Accuracy()
  for metric in (few, many):
    metric.update(part)
  assert many.compute().keys() - few.compute().keys() == {"top5"}
  assert few.merge(few).compute() == pytest.approx(few.compute())
