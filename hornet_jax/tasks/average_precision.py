"""How well a detector finds objects: the average precision of COCO, of boxes and of masks."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hornet_jax.data.datasets import Split
from hornet_jax.data.views.instances import Instances, read_instances
from hornet_jax.errors import InputError
from hornet_jax.tasks.found_objects import FoundObjects, read_found

_KINDS = {"mask": "segm", "box": "bbox"}
_SIZES = ("", "_small", "_medium", "_large")  # of areas, in the order of COCO
_ALL, _MOST = 0, -1  # of areas, and of numbers of detections
_HALF, _THREE_QUARTERS = 0, 5  # intersection over union of 0.5 and 0.75 among 0.5, 0.55, ..., 0.95

_Scored = Mapping[str, Any]


class AveragePrecision:
  """The metric of detection: it compares what was found with the objects of a split.

  The numbers are those of COCO, from 0 to 1. `mask_ap` is the mean, over classes and over ten
  intersections over union (0.5, 0.55, ..., 0.95), of the precision at 101 recalls, with at most 100
  detections an image. `mask_ap50` and `mask_ap75` are those of one intersection. `mask_ap_small` is
  that of objects under 32 x 32 pixels, `mask_ap_large` of those over 96 x 96, `mask_ap_medium` of
  those between. `mask_ar` is the largest recall that is reached, likewise averaged. `box_ap` and
  the others are the same of boxes. A size that no object of the split has gets no number.

  Source: `COCOeval` of pycocotools, computed by faster-coco-eval.
  """

  def __init__(self, split: Split):
    """Starts with nothing.

    Args:
      split: what is evaluated; the objects of its examples are read when numbers are computed.
    """
    self._split = split
    self._found: dict[int, FoundObjects] = {}
    self._truth: dict[int, Instances] = {}

  @property
  def count(self) -> int:
    """Number of images gathered."""
    return len(self._found)

  def update(self, results: Mapping[str, np.ndarray]) -> None:
    """Adds some images.

    Args:
      results: their `index` [n], and what `read_found` takes of each image, with a leading n.
    """
    self.__dict__.pop("_evaluated", None)  # numbers of fewer images
    of_images = {name: values for name, values in results.items() if name != "index"}
    for row, index in enumerate(results["index"].tolist()):
      self._found[index] = read_found({name: values[row] for name, values in of_images.items()})

  def merge(self, other: "AveragePrecision") -> "AveragePrecision":
    """Joins two, the images of the other after its own."""
    both = AveragePrecision(self._split)
    both._found = {**self._found, **other._found}
    return both

  def found(self, index: int) -> FoundObjects:
    """Gives what was found in an image, by its number in the split."""
    return self._found[index]

  def indices(self) -> list[int]:
    """Lists the numbers of the images, in the order of the split."""
    return sorted(self._found)

  def truth(self, index: int) -> Instances:
    """Gives the objects of an image, by its number in the split; they are read once."""
    if index not in self._truth:
      self._truth[index] = read_instances(self._split.source[index])
    return self._truth[index]

  def compute(self) -> dict[str, float]:
    """Computes the numbers.

    Raises:
      InputError: if no image has an object that counts.
    """
    numbers: dict[str, float] = {}
    for kind, scored in self._evaluated.items():
      precision, recall = scored["precision"], scored["recall"]
      rows = {
        f"{kind}_ap{size}": precision[:, :, :, area, _MOST] for area, size in enumerate(_SIZES)
      }
      rows |= {
        f"{kind}_ap50": precision[_HALF, :, :, _ALL, _MOST],
        f"{kind}_ap75": precision[_THREE_QUARTERS, :, :, _ALL, _MOST],
        f"{kind}_ar": recall[:, :, _ALL, _MOST],
      }
      numbers |= {name: mean for name, of in rows.items() if (mean := _mean(of)) is not None}
    return numbers

  def per_class(self, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Computes the precision of each class; None where the split has none of it.

    Args:
      class_names: names of the K classes.
    """
    objects = np.zeros(len(class_names), int)
    for index in self._found:
      truth = self.truth(index)
      objects += np.bincount(truth.labels[~truth.is_crowd], minlength=len(class_names))
    rows = []
    for k, name in enumerate(class_names):
      row: dict[str, Any] = {"class": name, "objects": int(objects[k])}
      for kind, scored in self._evaluated.items():
        of_class = scored["precision"][:, :, k, _ALL, _MOST]
        row[f"{kind}_ap"] = _mean(of_class)
        row[f"{kind}_ap50"] = _mean(of_class[_HALF])
      rows.append(row)
    return rows

  @functools.cached_property
  def _evaluated(self) -> dict[str, _Scored]:
    """Holds what COCO's evaluation gives for masks and boxes: precision [T, R, K, A, M]."""
    from faster_coco_eval import COCO

    images: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    for index in self.indices():
      truth = self.truth(index)
      images.append({"id": index, "height": truth.size[0], "width": truth.size[1]})
      for k in range(len(truth)):
        objects.append(
          {
            "id": len(objects) + 1,
            "image_id": index,
            "category_id": int(truth.labels[k]),
            "iscrowd": int(truth.is_crowd[k]),
            "area": float(truth.areas[k]),
            "bbox": _sides(truth.boxes[k]),
            "segmentation": {"size": list(truth.size), "counts": truth.rles[k]},
          }
        )
    check_counts(self._split.name, (self.truth(index) for index in self.indices()))
    categories = [{"id": k, "name": name} for k, name in enumerate(self._split.class_names)]
    truth_of_all = COCO({"images": images, "annotations": objects, "categories": categories})
    return {kind: self._evaluate(truth_of_all, kind, how) for kind, how in _KINDS.items()}

  def _evaluate(self, truth: Any, kind: str, how: str) -> _Scored:
    """Runs COCO's evaluation of boxes or masks."""
    from faster_coco_eval import COCOeval_faster

    entries: list[dict[str, Any]] = []
    for index in self.indices():
      found = self._found[index]
      for k in range(len(found)):
        entry: dict[str, Any] = {
          "image_id": index,
          "category_id": int(found.labels[k]),
          "score": float(found.scores[k]),
        }
        # Areas, by which a detection counts as small or large, are those of masks for masks.
        if kind == "box":
          entry["bbox"] = _sides(found.boxes[k])
        else:
          entry["segmentation"] = {"size": list(found.size), "counts": found.rles[k]}
        entries.append(entry)
    evaluation = COCOeval_faster(truth, truth.loadRes(entries), how)
    evaluation.evaluate()
    evaluation.accumulate()
    shape = [*evaluation.eval["counts"]]
    return {
      "precision": np.reshape(evaluation.eval["precision"], shape),
      "recall": np.reshape(evaluation.eval["recall"], [shape[0], *shape[2:]]),
    }


def check_counts(name: str, images: Iterable[Instances]) -> None:
  """Raises `InputError` unless an object counts: what was found within crowds is not counted.

  Args:
    name: name of the split of the images.
    images: objects of each image; they are looked at up to the first that counts.
  """
  if all(truth.is_crowd.all() for truth in images):
    raise InputError(
      f"{name} must have objects to be evaluated on: none of its images that can be read has one, "
      "or they are crowds alone. Hint: evaluate on another split."
    )


def _sides(corners: np.ndarray) -> list[float]:
  """Turns corners to x, y, width and height."""
  x0, y0, x1, y1 = (float(value) for value in corners)
  return [x0, y0, x1 - x0, y1 - y0]


def _mean(values: np.ndarray) -> float | None:
  """Averages what COCO has not marked by -1 as being without objects; None where all is."""
  counted = values[values > -1]
  return float(counted.mean()) if counted.size else None
