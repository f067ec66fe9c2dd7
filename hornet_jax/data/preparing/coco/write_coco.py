"""This module writes images and the things on them as files in COCO's format."""

import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from faster_coco_eval.core import mask as masks

Thing = tuple[str, np.ndarray, bool]
"""The class of a thing, its mask, bool [H, W], and whether it is a crowd."""


def write_coco(
  images: Iterable[tuple[str, bytes, Sequence[Thing], tuple[int, int]]],
  folder: pathlib.Path,
  annotations: pathlib.Path,
  categories: Mapping[str, int],
) -> None:
  """Writes a split: crowds as run lengths, everything else as polygons, as COCO has them.

  Args:
    images: name, content, things, and height and width of each image.
    folder: folder of the images.
    annotations: path of the file of annotations.
    categories: name of each class -> its number.
  """
  folder.mkdir(parents=True, exist_ok=True)
  annotations.parent.mkdir(parents=True, exist_ok=True)
  told: dict[str, list[dict[str, Any]]] = {
    "images": [],
    "annotations": [],
    "categories": [
      {"id": number, "name": name, "supercategory": "shape"} for name, number in categories.items()
    ],
  }
  for number, (name, content, things, (height, width)) in enumerate(images):
    (folder / name).write_bytes(content)
    image_id = 10 * number + 7
    told["images"].append({"id": image_id, "file_name": name, "height": height, "width": width})
    for kind, mask, is_crowd in things:
      rle = masks.encode(np.asfortranarray(mask, np.uint8))
      told["annotations"].append(
        {
          "id": len(told["annotations"]) + 1,
          "image_id": image_id,
          "category_id": categories[kind],
          "iscrowd": int(is_crowd),
          "area": int(mask.sum()),
          "bbox": [float(value) for value in masks.toBbox(rle)],
          "segmentation": _runs(mask) if is_crowd else to_polygons(mask),
        }
      )
  annotations.write_text(json.dumps(told))


def to_polygons(mask: np.ndarray) -> list[list[float]]:
  """Covers a mask, bool [H, W], by rectangles, as polygons of four points that give it exactly."""
  polygons: list[list[float]] = []
  open_runs: dict[tuple[int, int], int] = {}  # columns from, to -> first row
  rows = [*mask, np.zeros(mask.shape[1], bool)]
  for y, row in enumerate(rows):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
    runs = set(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
    for x0, x1 in sorted(open_runs.keys() - runs):
      y0 = open_runs.pop((x0, x1))
      polygons.append([float(v) for v in (x0, y0, x1, y0, x1, y, x0, y)])
    open_runs = {run: open_runs.get(run, y) for run in runs}
  return polygons


def _runs(mask: np.ndarray) -> dict[str, Any]:
  """Writes run lengths that are not compressed: columns after each other, background first."""
  flat = np.concatenate([[0], mask.T.ravel().astype(np.int8), [0]])
  edges = np.flatnonzero(np.diff(flat[:-1]))
  counts = np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()
  return {"size": list(mask.shape), "counts": counts}
