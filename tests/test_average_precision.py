"""AP of boxes and masks: against pycocotools, against loops, and what people are shown of it."""

import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hornet_jax.data.datasets import Split
from hornet_jax.data.views.detection_view import DetectionView
from hornet_jax.data.views.instances import read_instances
from hornet_jax.errors import InputError
from hornet_jax.tasks import Detection
from hornet_jax.tasks.average_precision import AveragePrecision
from hornet_jax.tasks.coco_results import coco_results
from hornet_jax.tasks.found_objects import FoundObjects, encode_mask
from hornet_jax.tasks.match_objects import match_objects
from hornet_jax.tasks.shown_objects import object_answer

NAMES = ["bird", "fish", "stone"]
CLASSES = list(zip(NAMES, (1, 4, 9), strict=True))
SLOTS = 12
EMPTY = np.zeros(0, np.float32), np.zeros(0, np.int32)


def make_example(rng):
  """An image with up to six rectangles of random sizes, a tenth of them crowds."""
  height, width = rng.integers(40, 220, 2).tolist()
  objects = {name: [] for name in ("id", "bbox", "area", "label", "is_crowd", "rle")}
  for k in range(int(rng.integers(0, 7))):
    top, left = int(rng.integers(0, height - 10)), int(rng.integers(0, width - 10))
    bottom, right = int(rng.integers(top + 5, height)), int(rng.integers(left + 5, width))
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    objects["id"].append(k)
    objects["bbox"].append([left, top, right - left, bottom - top])
    objects["area"].append(mask.sum())
    objects["label"].append(int(rng.integers(3)))
    objects["is_crowd"].append(bool(rng.random() < 0.1))
    objects["rle"].append(encode_mask(mask))
  return {"height": height, "width": width, "objects": objects}


def make_results(examples, rng):
  """What a detector of middling skill finds: some objects, shifted, some of another class."""
  count = len(examples)
  results = {
    "index": np.arange(count),
    "own": np.array([[one["height"], one["width"]] for one in examples], np.int32),
    "boxes": np.zeros((count, SLOTS, 4), np.float32),
    "scores": np.zeros((count, SLOTS), np.float32),
    "labels": np.full((count, SLOTS), -1, np.int32),
    "masks": rng.random((count, SLOTS, 28, 28)).astype(np.float32) ** 0.2,
  }
  for row, one in enumerate(examples):
    truth = read_instances({**one, "objects": one["objects"]})
    scores = np.sort(rng.random(SLOTS))[::-1]
    boxes = [*truth.boxes, *truth.boxes[:2], np.array([3.0, 4.0, 30.0, 35.0])]
    for k, box in enumerate(boxes[:SLOTS]):
      label = truth.labels[k] if k < len(truth) and rng.random() < 0.9 else rng.integers(3)
      corners = box + rng.normal(0, 4, 4)
      corners[2:] = np.maximum(corners[2:], corners[:2] + 1)  # what has no area COCO leaves out
      results["boxes"][row, k] = corners
      results["scores"][row, k] = scores[k]
      results["labels"][row, k] = label
  return results


@pytest.fixture(scope="module")
def measured():
  rng = np.random.default_rng(0)
  examples = [make_example(rng) for _ in range(40)]
  split = Split("things/test", examples, NAMES)
  results = make_results(examples, rng)
  metric = AveragePrecision(split)
  metric.update(results)
  return metric, results, split


def referee(metric, split, how):
  """The twelve numbers of pycocotools."""
  images, annotations, found = [], [], []
  for index in metric.indices():
    truth = metric.truth(index)
    images.append({"id": index, "height": truth.size[0], "width": truth.size[1]})
    for k in range(len(truth)):
      x0, y0, x1, y1 = truth.boxes[k].tolist()
      annotations.append(
        {
          "id": len(annotations) + 1,
          "image_id": index,
          "category_id": int(truth.labels[k]),
          "iscrowd": int(truth.is_crowd[k]),
          "area": float(truth.areas[k]),
          "bbox": [x0, y0, x1 - x0, y1 - y0],
          "segmentation": {"size": list(truth.size), "counts": truth.rles[k]},
        }
      )
    objects = metric.found(index)
    for k in range(len(objects)):
      x0, y0, x1, y1 = objects.boxes[k].astype(float).tolist()
      entry = {"image_id": index, "category_id": int(objects.labels[k])}
      entry["score"] = float(objects.scores[k])
      if how == "bbox":
        entry["bbox"] = [x0, y0, x1 - x0, y1 - y0]
      else:
        entry["segmentation"] = {"size": list(objects.size), "counts": objects.rles[k]}
      found.append(entry)
  truth_of_all = COCO()
  truth_of_all.dataset = {
    "images": images,
    "annotations": annotations,
    "categories": [{"id": k, "name": name} for k, name in enumerate(split.class_names)],
  }
  truth_of_all.createIndex()
  evaluation = COCOeval(truth_of_all, truth_of_all.loadRes(found), how)
  evaluation.evaluate()
  evaluation.accumulate()
  evaluation.summarize()
  return evaluation


@pytest.mark.parametrize(("kind", "how"), [("mask", "segm"), ("box", "bbox")])
def test_it_agrees_with_pycocotools(measured, kind, how):
  metric, _, split = measured
  evaluation = referee(metric, split, how)
  numbers = metric.compute()
  names = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
  for name, expected in zip(names, evaluation.stats[:6], strict=True):
    assert numbers[f"{kind}_{name}"] == pytest.approx(expected, abs=1e-12)
  assert numbers[f"{kind}_ar"] == pytest.approx(evaluation.stats[8], abs=1e-12)
  assert 0.1 < numbers[f"{kind}_ap"] < 0.9  # neither all nor nothing
  precision = evaluation.eval["precision"]
  for k, row in enumerate(metric.per_class(NAMES)):
    assert row[f"{kind}_ap"] == pytest.approx(precision[:, :, k, 0, -1].mean(), abs=1e-12)


def test_it_agrees_with_loops():
  """AP of boxes at an IoU of 0.5, from its definition: precision at 101 recalls, per class."""
  rng = np.random.default_rng(3)
  examples = [make_example(rng) for _ in range(15)]
  for one in examples:
    one["objects"]["is_crowd"] = [False] * len(one["objects"]["id"])
  split = Split("things/test", examples, NAMES)
  metric = AveragePrecision(split)
  metric.update(make_results(examples, rng))
  of_classes = []
  for label in range(3):
    hits, total = [], 0
    for index in metric.indices():
      truth, found = metric.truth(index), metric.found(index)
      left = [box for box, k in zip(truth.boxes, truth.labels, strict=True) if k == label]
      total += len(left)
      for box, score, k in zip(found.boxes, found.scores, found.labels, strict=True):
        if k != label:
          continue
        overlaps = [iou(box.astype(float), other) for other in left]
        best = int(np.argmax(overlaps)) if overlaps else -1
        hit = best >= 0 and overlaps[best] >= 0.5
        if hit:
          left.pop(best)
        hits.append((score, hit))
    hits.sort(key=lambda pair: -pair[0])
    right = np.cumsum([hit for _, hit in hits])
    precision = right / np.arange(1, len(hits) + 1)
    recall = right / total
    reached = [precision[recall >= r].max(initial=0) for r in np.linspace(0, 1, 101)]
    of_classes.append(np.mean(reached))
  assert metric.compute()["box_ap50"] == pytest.approx(np.mean(of_classes), abs=1e-9)


def iou(a, b):
  shared = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
  area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
  return shared / (area - shared)


def test_order_and_parts_make_no_difference(measured):
  metric, results, split = measured
  order = np.random.default_rng(1).permutation(len(results["index"]))
  halves = [AveragePrecision(split) for _ in range(2)]
  for half, rows in zip(halves, (order[:17], order[17:]), strict=True):
    half.update({name: values[rows] for name, values in results.items()})
  merged = halves[0].merge(halves[1])
  assert merged.count == metric.count == 40
  assert merged.compute() == metric.compute()


def test_what_is_perfect_has_one(measured):
  _, _, split = measured
  metric = AveragePrecision(split)
  for index, one in enumerate(split.source):
    truth = read_instances(one).for_training()
    count = len(truth)
    metric._found[index] = FoundObjects(
      truth.size,
      truth.boxes.astype(np.float32),
      np.ones(count, np.float32),
      truth.labels,
      truth.rles,
    )
  numbers = metric.compute()
  assert {name: value for name, value in numbers.items() if value < 1 - 1e-12} == {}


def test_sizes_that_do_not_occur_have_no_number():
  example = make_example(np.random.default_rng(9))
  example["objects"]["area"] = [5000.0] * len(example["objects"]["id"])
  assert example["objects"]["id"]
  metric = AveragePrecision(Split("things/test", [example], NAMES))
  metric.update(make_results([example], np.random.default_rng(2)))
  names = metric.compute().keys()
  assert "mask_ap_medium" in names
  assert not {"mask_ap_small", "mask_ap_large", "box_ap_small"} & names
  rows = metric.per_class(NAMES)
  assert all((row["mask_ap"] is None) == (row["objects"] == 0) for row in rows)


@pytest.mark.parametrize("crowds", [0, 2])
def test_a_split_without_objects_that_count_is_refused_before_anything_is_computed(crowds):
  example = make_example(np.random.default_rng(9))
  example["objects"] = {name: values[:crowds] for name, values in example["objects"].items()}
  example["objects"]["is_crowd"] = [True] * crowds
  split = Split("things/test", [example], NAMES)
  refused = "things/test must have objects to be evaluated on"
  metric = AveragePrecision(split)
  metric.update(make_results([example], np.random.default_rng(2)))
  with pytest.raises(InputError, match=refused):
    metric.compute()
  with pytest.raises(InputError, match=refused):
    Detection(3, DetectionView()).for_evaluation([split])


def test_to_look_for_an_object_reads_no_more_than_one_that_counts():
  found = make_example(np.random.default_rng(9))
  found["objects"]["is_crowd"][0] = False
  split = Split("things/test", [found, {"unread": 0}], NAMES)
  Detection(3, DetectionView()).for_evaluation([split])


def test_finds_and_misses_are_counted():
  mask = np.ones((50, 60), bool)
  rle = encode_mask(mask)
  truth = read_instances(
    {
      "height": 50,
      "width": 60,
      "objects": {
        "bbox": [[0, 0, 10, 10], [20, 0, 10, 10], [40, 20, 20, 20]],
        "label": [0, 1, 2],
        "is_crowd": [False, False, True],
        "area": [100, 100, 400],
        "rle": [rle] * 3,
      },
    }
  )
  boxes = np.array([[0, 0, 10, 9], [0, 0, 10, 8], [20, 0, 30, 10], [42, 22, 50, 30]], np.float32)
  labels = np.array([0, 0, 0, 2], np.int32)
  found = FoundObjects(
    (50, 60), boxes, np.array([0.9, 0.8, 0.7, 0.6], np.float32), labels, [rle] * 4
  )
  matches = match_objects(7, found, truth)
  # The second is found twice, the third has another class, the fourth lies on a crowd.
  assert (matches.index, matches.found, matches.missed, matches.false) == (7, 1, 1, 2)
  assert matches.share == pytest.approx(2 / (2 + 1 + 2))


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")  # pycocotools
def test_what_is_told_of_an_image(measured):
  """A line, a table, a picture, and COCO's format, of which pycocotools makes the same masks."""
  metric, _, _ = measured
  index = next(k for k in metric.indices() if len(metric.found(k)) > 3)
  found = metric.found(index)
  pixels = np.full((*found.size, 3), 128, np.uint8)
  answer = object_answer(found, pixels, NAMES, top=2, drawn_score=0.5)
  assert answer.line.endswith(f"  and {len(found) - 2} more")
  assert len(answer.rows) == len(found)
  assert answer.pictures["objects"].shape == pixels.shape
  assert (answer.pictures["objects"] != 128).any()
  document = json.loads(coco_results([("a/b.png", answer)], CLASSES))
  assert document["images"] == [
    {"id": 1, "file_name": "b.png", "height": found.size[0], "width": found.size[1]}
  ]
  several = json.loads(coco_results([("a/b.png", answer), ("a/c/d.png", answer)], CLASSES))
  assert [image["file_name"] for image in several["images"]] == ["b.png", "c/d.png"]
  for names, ids in (
    (("a/000139.jpg", "a/7.png"), [139, 7]),
    (("a/5.jpg", "b/05.jpg"), [1, 2]),
    (("a/5.jpg", "a/x.jpg"), [1, 2]),
  ):
    images = json.loads(coco_results([(name, answer) for name in names], CLASSES))["images"]
    assert [image["id"] for image in images] == ids
  coco = COCO()
  coco.dataset = document
  coco.createIndex()
  for k, annotation in enumerate(document["annotations"]):
    mask = coco.annToMask(annotation)
    assert mask.sum() == annotation["area"] == answer.rows[k][-1]
    assert encode_mask(mask.astype(bool)) == found.rles[k]
    assert coco.cats[annotation["category_id"]]["name"] == answer.rows[k][0]
  assert [category["id"] for category in document["categories"]] == [n for _, n in CLASSES]


def test_nothing_found_is_told():
  nothing = FoundObjects((8, 9), np.zeros((0, 4), np.float32), *EMPTY, [])
  answer = object_answer(nothing, np.zeros((8, 9, 3), np.uint8), NAMES, top=3, drawn_score=0.5)
  assert answer.line == "nothing found"
  assert answer.rows == [[""] * 7]
  assert answer.record["objects"] == []
