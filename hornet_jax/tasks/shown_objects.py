"""What people are shown of a detection: names, boxes and masks drawn on images, tables."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from hornet_jax.data.views.instances import whole_mask
from hornet_jax.tasks.average_precision import AveragePrecision
from hornet_jax.tasks.found_objects import FoundObjects
from hornet_jax.tasks.match_objects import Matches, match_objects
from hornet_jax.tasks.shown_masks import palette
from hornet_jax.train.presentation import Answer, Captions, Section

_OVERLAY = 0.45  # share of the colour of an object over the image
_SHOWN = 4  # of the best and of the worst images
_SIDE = 256  # pixels of a picture of a report


@dataclasses.dataclass(frozen=True)
class DrawnObject:
  """An object as it is drawn.

  Attributes:
    box: corners (x0, y0, x1, y1) in pixels of the image.
    label: class.
    mask: pixels that it covers, [H, W].
    text: words beside the box.
  """

  box: Sequence[float] | np.ndarray
  label: int
  mask: np.ndarray
  text: str


def draw_objects(
  pixels: UInt8[np.ndarray, "H W 3"], objects: Sequence[DrawnObject], num_classes: int
) -> UInt8[np.ndarray, "H W 3"]:
  """Draws objects on their image, the first above the others; a class has one colour.

  Args:
    pixels: image.
    objects: what is drawn.
    num_classes: number K of classes.
  """
  colours = palette(num_classes + 1)[1:]  # without black
  drawn = pixels.astype(np.float32)
  for one in reversed(objects):
    where = one.mask.astype(bool)
    drawn[where] = (1 - _OVERLAY) * drawn[where] + _OVERLAY * colours[one.label]
  image = Image.fromarray(np.round(drawn).astype(np.uint8))
  pen = ImageDraw.Draw(image)
  side = max(pixels.shape[:2])
  width = max(side // 300, 1)
  font = ImageFont.load_default(max(side / 45, 9))
  for one in reversed(objects):
    colour = tuple(colours[one.label].tolist())
    x0, y0, x1, y1 = (float(value) for value in one.box)
    pen.rectangle((x0, y0, max(x1 - 1, x0), max(y1 - 1, y0)), outline=colour, width=width)
    left, top, right, bottom = pen.textbbox((0, 0), one.text, font=font)
    height, length = bottom + 2, right + 4
    x = min(max(x0, 0), max(pixels.shape[1] - length, 0))
    y = y0 - height if y0 >= height else min(y0, max(pixels.shape[0] - height, 0))
    pen.rectangle((x, y, x + length, y + height), fill=colour)
    ink = "black" if sum(colour) > 3 * 128 else "white"
    pen.text((x + 2 - left, y + 1 - top / 2), one.text, fill=ink, font=font)
  return np.asarray(image)


def object_answer(
  found: FoundObjects,
  pixels: UInt8[np.ndarray, "H W 3"],
  class_names: Sequence[str],
  top: int,
  drawn_score: float,
) -> Answer:
  """Says which objects are in an image, and draws the surer ones on it.

  Args:
    found: what was found, the surest first.
    pixels: the image.
    class_names: names of the K classes.
    top: largest number of objects that the line names; record and table have all.
    drawn_score: least score of what is drawn.
  """
  records = [
    {
      "class": class_names[found.labels[k]],
      "label": int(found.labels[k]),
      "score": float(found.scores[k]),
      "box": [float(value) for value in found.boxes[k]],
      "mask": {"size": list(found.size), "counts": found.rles[k].decode("ascii")},
    }
    for k in range(len(found))
  ]
  surer = _drawn(found.surer(drawn_score), class_names)
  drawn = draw_objects(pixels, surer, len(class_names))
  areas = [int(whole_mask(rle, found.size).sum()) for rle in found.rles]
  named = "  ".join(f"{one['class']} {one['score']:.2f}" for one in records[:top])
  more = f"  and {len(records) - top} more" if len(records) > top else ""
  return Answer(
    f"{named}{more}" if records else "nothing found",
    {"size": list(found.size), "objects": records},
    [
      [one["class"], one["score"], *one["box"], area]
      for one, area in zip(records, areas, strict=True)
    ]
    or [[""] * 7],
    {"objects": drawn},
  )


def object_captions(
  pixels: UInt8[np.ndarray, "B H W 3"],
  objects: Mapping[str, np.ndarray],
  class_names: Sequence[str],
) -> Captions:
  """Counts the objects of training views by their classes, and draws them.

  Args:
    pixels: the views.
    objects: `boxes` [B, M, 4], `labels` [B, M], -1 for none, and `masks` [B, M, m, m] within them.
    class_names: names of the K classes.
  """
  targets, rows = [], []
  for image, boxes, labels, masks in zip(
    pixels, objects["boxes"], objects["labels"], objects["masks"], strict=True
  ):
    there = np.flatnonzero(labels >= 0)
    drawn = [
      DrawnObject(boxes[k], label, _laid(masks[k], boxes[k], image.shape[:2]), class_names[label])
      for k, label in zip(there.tolist(), labels[there].tolist(), strict=True)
    ]
    targets.append(draw_objects(image, drawn, len(class_names)))
    counts = np.bincount(labels[there], minlength=len(class_names))
    rows.append([(class_names[k], f"{counts[k]}") for k in np.flatnonzero(counts).tolist()])
  return Captions(
    "after scaling, cropping and flipping, as the model sees them. Under each are the objects that "
    "it is to find, beside each class their number.",
    "",
    rows,
    targets,
  )


def class_section(metric: AveragePrecision, name: str, class_names: Sequence[str]) -> Section:
  """Makes the table of the classes.

  Args:
    metric: metric of a split.
    name: name of the split.
    class_names: names of the K classes.
  """
  columns = ("mask_ap", "mask_ap50", "box_ap", "box_ap50")
  values = {
    "name": "classes",
    "title": "Classes",
    "text": f"Average precision on {name} of each class, over all sizes. AP50 is that at an "
    "intersection over union of 0.5, AP the mean over 0.5 to 0.95.",
    "headings": ["class", "objects", "mask AP", "mask AP50", "box AP", "box AP50"],
    "rows": [
      [
        row["class"],
        f"{row['objects']:,}",
        *("" if row[column] is None else f"{row[column]:.1%}" for column in columns),
      ]
      for row in metric.per_class(class_names)
    ],
  }
  return Section("table.html.j2", values)


def picture_section(
  metric: AveragePrecision,
  name: str,
  class_names: Sequence[str],
  picture_of: Callable[[int], tuple[np.ndarray, str]],
  drawn_score: float,
) -> Section:
  """Makes pictures of the images with the most finds and with the most misses.

  Args:
    metric: metric of a split.
    name: name of the split.
    class_names: names of the K classes.
    picture_of: function from the number of an image in the split to its pixels, uint8 [H, W, 3],
      and its name.
    drawn_score: least score of what is drawn, and counts as found.
  """
  from hornet_jax.report import figures

  of_all = [_match(metric, index, drawn_score) for index in metric.indices()]
  ranked = sorted(
    (matches for matches in of_all if matches.total),
    key=lambda matches: (-matches.share, matches.index),
  )
  best = ranked[:_SHOWN]
  worst = [matches for matches in ranked[: -_SHOWN - 1 : -1] if matches not in best]
  groups = []
  for title, chosen in (("Most finds", best), ("Most misses", worst)):
    entries = []
    for matches in chosen:
      pixels, image_name = picture_of(matches.index)
      truth, found = metric.truth(matches.index), metric.found(matches.index)
      true = [
        DrawnObject(box, int(label), whole_mask(rle, truth.size), class_names[label])
        for box, label, rle in zip(truth.boxes, truth.labels, truth.rles, strict=True)
      ]
      surer = _drawn(found.surer(drawn_score), class_names)
      pictures = [
        (what, draw_objects(*_enlarged(pixels, objects), len(class_names)))
        for what, objects in (("true", true), ("found", surer))
      ]
      entries.append(
        {
          "title": image_name,
          "text": f"{matches.found} found, {matches.missed} missed, {matches.false} false",
          "pictures": [
            {"src": figures.picture(picture, _SIDE), "name": what} for what, picture in pictures
          ],
          "classes": [],
        }
      )
    groups.append({"title": title, "entries": entries})
  values = {
    "name": "objects",
    "title": "Finds and misses",
    "text": f"Of {name}: what was found with a score of at least {drawn_score:g}. An object counts "
    "as found where such a box of its class overlaps its box by an intersection over union of at "
    "least 0.5; what is left over, and lies on no crowd, is false.",
    "groups": groups,
  }
  return Section("overlays.html.j2", values)


def object_tables(
  metric: AveragePrecision, class_names: Sequence[str], drawn_score: float
) -> dict[str, Sequence[Mapping[str, Any]]]:
  """Makes tables of the classes, and of what was found and missed in each image.

  Args:
    metric: metric of a split.
    class_names: names of the K classes.
    drawn_score: least score of what counts as found.
  """
  of_images = [_match(metric, index, drawn_score) for index in metric.indices()]
  return {
    "classes": metric.per_class(class_names),
    "by_image": [
      {"index": one.index, "found": one.found, "missed": one.missed, "false": one.false}
      for one in of_images
    ],
  }


def _match(metric: AveragePrecision, index: int, least_score: float) -> Matches:
  return match_objects(index, metric.found(index).surer(least_score), metric.truth(index))


def _drawn(found: FoundObjects, class_names: Sequence[str]) -> list[DrawnObject]:
  return [
    DrawnObject(box, int(label), whole_mask(rle, found.size), f"{class_names[label]} {score:.2f}")
    for box, label, rle, score in zip(
      found.boxes, found.labels, found.rles, found.scores, strict=True
    )
  ]


def _enlarged(
  pixels: np.ndarray, objects: Sequence[DrawnObject]
) -> tuple[np.ndarray, list[DrawnObject]]:
  """Makes small images as large as a report shows them, so that words on them can be read."""
  factor = max(_SIDE // max(pixels.shape[:2]), 1)

  def larger(values: np.ndarray) -> np.ndarray:
    return values.repeat(factor, axis=0).repeat(factor, axis=1)

  return larger(pixels), [
    dataclasses.replace(one, box=np.asarray(one.box) * factor, mask=larger(one.mask))
    for one in objects
  ]


def _laid(mask: np.ndarray, box: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
  """Lays a bitmap into its box, for the eye: pixel by pixel."""
  whole = np.zeros(size, bool)
  x0, y0, x1, y1 = np.round(box).astype(int).tolist()
  x1, y1 = min(max(x1, x0 + 1), size[1]), min(max(y1, y0 + 1), size[0])
  rows = np.arange(y1 - y0) * mask.shape[0] // max(y1 - y0, 1)
  columns = np.arange(x1 - x0) * mask.shape[1] // max(x1 - x0, 1)
  whole[y0:y1, x0:x1] = mask[np.ix_(rows, columns)] > 0
  return whole
