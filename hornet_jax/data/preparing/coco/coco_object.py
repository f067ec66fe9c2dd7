"""This module makes of an annotation in COCO's format what is stored of a thing on an image."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from faster_coco_eval.core import mask as masks

from hornet_jax.data.preparing.coco.coco_values import (
  BrokenEntryError,
  number,
  numbers,
  shown,
  whole,
)

_LARGE = 100  # pixels, of a mask whose box can be told
_ALIKE = 0.5  # intersection over union


@dataclasses.dataclass(frozen=True)
class CocoObject:
  """A thing on an image.

  Attributes:
    stored: values of the features of `objects`: `id`, `bbox` as (x, y, width, height) in pixels,
      `area`, `label`, `is_crowd`, and `rle`, the compressed run lengths of its mask.
    has_mask: whether the annotation has a mask; else the box is taken for it.
    is_empty: whether the mask has no pixel.
    is_unlike: whether the box is not that of its mask.
  """

  stored: dict[str, Any]
  has_mask: bool
  is_empty: bool
  is_unlike: bool


def read_object(
  annotation: Mapping[str, Any], size: tuple[int, int], labels: Mapping[int, int]
) -> CocoObject:
  """Reads an annotation.

  Where it has no `bbox`, the box is that around its mask; where it has no `segmentation`, or an
  empty one, the mask is its box; where it has no `area`, it is that of the mask.

  Args:
    annotation: annotation as it stands in the file, with a whole number `id`.
    size: height and width of its image.
    labels: number of a category -> class.

  Raises:
    BrokenEntryError: if it cannot be used.
  """
  category = whole(annotation.get("category_id"))
  if category is None or category not in labels:
    raise BrokenEntryError(
      f"of no category of the file: category_id {shown(annotation.get('category_id'))}"
    )
  crowd = annotation.get("iscrowd", 0)
  if crowd not in (0, 1, None):
    raise BrokenEntryError(f"`iscrowd` must be 0 or 1: got {shown(crowd)}")
  segmentation = annotation.get("segmentation")
  rle = None
  if segmentation not in (None, [], {}):
    rle = to_rle(segmentation, size)
  box = _box(annotation.get("bbox"), rle)
  _check_place(box, size)
  has_mask = rle is not None
  rle = rle or masks.frPyObjects([_cut(box, size)], *size)[0]
  pixels = int(masks.area(rle))
  return CocoObject(
    stored={
      "id": annotation["id"],
      "bbox": box,
      "area": _area(annotation.get("area"), box, pixels),
      "label": labels[category],
      "is_crowd": bool(crowd),
      "rle": rle["counts"].decode("ascii"),
    },
    has_mask=has_mask,
    is_empty=pixels == 0,
    is_unlike=has_mask and pixels >= _LARGE and _overlap(box, masks.toBbox(rle)) < _ALIKE,
  )


def to_rle(segmentation: Any, size: tuple[int, int]) -> dict[str, Any]:
  """Makes compressed run lengths of a mask: `size`, and `counts` as bytes.

  Args:
    segmentation: polygons, a list of lists (x, y, x, y, ...) in pixels, or run lengths, an object
      with `size` and `counts`, compressed or not.
    size: height and width of the image.

  Raises:
    BrokenEntryError: if it is neither, or of an image of another size.
  """
  if isinstance(segmentation, dict):
    return _from_runs(segmentation, size)
  if not isinstance(segmentation, list) or not all(isinstance(p, list) for p in segmentation):
    raise BrokenEntryError(
      "`segmentation` must be a list of polygons, themselves lists of numbers, or an object with "
      f"`size` and `counts`: got {shown(segmentation)}"
    )
  polygons = []
  for polygon in segmentation:
    points = numbers(polygon)
    if points is None or len(points) % 2 or len(points) < 6:
      raise BrokenEntryError(
        "a polygon must have at least three points of two finite numbers (x, y, x, y, ...): got "
        f"{shown(polygon)}"
      )
    _check_near(points, size)
    polygons.append(points)
  return masks.merge(masks.frPyObjects(polygons, *size))


def _check_near(points: list[float], size: tuple[int, int]) -> None:
  """Refuses points far from the image: the time to draw a polygon grows with its length."""
  for k, side in enumerate(size[::-1]):
    if min(points[k::2]) < -side or max(points[k::2]) > 2 * side:
      raise BrokenEntryError(
        f"a polygon far outside of the image, of height and width {list(size)}: {shown(points)}"
      )


def _from_runs(segmentation: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any]:
  told, counts = segmentation.get("size"), segmentation.get("counts")
  if not isinstance(told, list) or [whole(side) for side in told] != list(size):
    raise BrokenEntryError(f"a mask of height and width {shown(told)}, and its image {list(size)}")
  if isinstance(counts, list):
    runs = [run for item in counts if (run := whole(item)) is not None and run >= 0]
    if len(runs) != len(counts) or sum(runs) != size[0] * size[1]:
      raise BrokenEntryError(
        f"run lengths must be whole numbers that add up to the {size[0] * size[1]:,} pixels: got "
        f"{shown(counts)}"
      )
    return masks.frPyObjects({"size": list(size), "counts": runs}, *size)
  if not isinstance(counts, str):
    raise BrokenEntryError(f"`counts` must be run lengths, a text or a list: got {shown(counts)}")
  try:
    rle = {"size": list(size), "counts": counts.encode("ascii")}
    # Decoded and encoded again, they are those of this mask and of no other text.
    return masks.encode(np.asfortranarray(masks.decode(rle)))
  except (ValueError, RuntimeError) as error:
    raise BrokenEntryError(f"run lengths that are none: {error}") from error


def _box(told: Any, rle: dict[str, Any] | None) -> list[float]:
  if told is None and rle is not None:
    return [float(value) for value in masks.toBbox(rle)]
  box = numbers(told)
  if box is None or len(box) != 4:
    raise BrokenEntryError(
      f"`bbox` must be four finite numbers (x, y, width, height): got {shown(told)}"
    )
  return box


def _check_place(box: list[float], size: tuple[int, int]) -> None:
  x, y, width, height = box
  if width <= 0 or height <= 0:
    raise BrokenEntryError(f"a box without area: {shown(box)} (x, y, width, height)")
  if x >= size[1] or y >= size[0] or x + width <= 0 or y + height <= 0:
    raise BrokenEntryError(
      f"a box outside of the image, of height and width {list(size)}: {shown(box)} (x, y, width, "
      "height)"
    )


def _cut(box: list[float], size: tuple[int, int]) -> list[float]:
  """Cuts a box off a pixel outside of the image: the time to draw one grows with its length."""
  x, y = max(box[0], -1.0), max(box[1], -1.0)
  right, bottom = min(box[0] + box[2], size[1] + 1), min(box[1] + box[3], size[0] + 1)
  return [x, y, right - x, bottom - y]


def _area(told: Any, box: list[float], pixels: int) -> float:
  area = number(told)
  if told is not None and area is None:
    raise BrokenEntryError(f"`area` must be a finite number: got {shown(told)}")
  return area if area and area > 0 else float(pixels or box[2] * box[3])


def _overlap(a: list[float], b: np.ndarray) -> float:
  """Computes the intersection over union of two boxes (x, y, width, height)."""
  sides = [max(min(a[k] + a[k + 2], b[k] + b[k + 2]) - max(a[k], b[k]), 0.0) for k in range(2)]
  both = sides[0] * sides[1]
  return float(both / (a[2] * a[3] + b[2] * b[3] - both))
