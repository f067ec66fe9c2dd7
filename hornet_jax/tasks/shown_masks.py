"""What people are shown of a segmentation: shares of the classes, coloured masks, tables."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from hornet_jax.data.views.masks import IGNORED
from hornet_jax.tasks.confusion_rows import confusion_rows
from hornet_jax.tasks.mean_iou import MeanIou
from hornet_jax.tasks.preview import SIDE, preview_grid
from hornet_jax.train.presentation import Answer, Captions, Section

_OVERLAY = 0.55  # share of the colour of a class over the image
_NOTHING = (255, 255, 255)  # colour of pixels that do not count
_SHOWN_SHARE = 0.01  # of the pixels, beside a training image


def palette(num_classes: int) -> UInt8[np.ndarray, "K 3"]:
  """Gives each class a colour, black to the first.

  Bit k of red, green and blue, from the top, is bit 3 k, 3 k + 1 and 3 k + 2 of the class.

  Source: the colours of PASCAL VOC, `VOClabelcolormap` of its development kit.

  Args:
    num_classes: number K of classes, at most 256.
  """
  classes = np.arange(num_classes)
  colours = np.zeros((num_classes, 3), np.uint8)
  for k in range(8):
    for channel in range(3):
      colours[:, channel] |= ((classes >> (3 * k + channel) & 1) << (7 - k)).astype(np.uint8)
  return colours


def colour(classes: UInt8[np.ndarray, "H W"], num_classes: int) -> UInt8[np.ndarray, "H W 3"]:
  """Colours a mask; white where no class counts.

  Args:
    classes: class of each pixel, 255 where none counts.
    num_classes: number K of classes.
  """
  colours = np.full((IGNORED + 1, 3), _NOTHING, np.uint8)
  colours[:num_classes] = palette(num_classes)
  return colours[classes]


def overlay(
  pixels: UInt8[np.ndarray, "H W 3"], classes: UInt8[np.ndarray, "H W"], num_classes: int
) -> UInt8[np.ndarray, "H W 3"]:
  """Lays the colours of a mask over its image.

  Args:
    pixels: the image.
    classes: class of each pixel.
    num_classes: number K of classes.
  """
  mixed = (1 - _OVERLAY) * pixels + _OVERLAY * colour(classes, num_classes)
  return np.round(mixed).astype(np.uint8)


def mask_answer(
  classes: UInt8[np.ndarray, "H W"],
  pixels: UInt8[np.ndarray, "H W 3"],
  class_names: Sequence[str],
  top: int,
) -> Answer:
  """Says which classes fill most of an image, with its mask, coloured and plain, and an overlay.

  Args:
    classes: class of each pixel.
    pixels: the image.
    class_names: names of the K classes.
    top: largest number of classes that are named.
  """
  count = len(class_names)
  shares = np.bincount(classes.ravel(), minlength=count)[:count] / classes.size
  order = np.argsort(-shares, kind="stable")[:top].tolist()
  found = [(class_names[k], float(shares[k])) for k in order if shares[k] > 0]
  missing = min(top, count) - len(found)
  return Answer(
    "  ".join(f"{name} {100 * share:.1f} %" for name, share in found),
    {"top": [{"class": name, "share": share} for name, share in found]},
    [[value for pair in found for value in pair] + [""] * (2 * missing)],
    {
      "classes": classes,
      "mask": colour(classes, count),
      "overlay": overlay(pixels, classes, count),
    },
  )


def mask_captions(
  masks: UInt8[np.ndarray, "B S S"], class_names: Sequence[str], num_classes: int
) -> Captions:
  """Writes the share of each class among the pixels of training views, and colours their masks.

  Args:
    masks: class of each pixel, 255 where none counts.
    class_names: names of the classes.
    num_classes: number K of classes.
  """
  return Captions(
    "after scaling, cropping, flipping and changing colours, as the model sees them. Under each "
    "is its mask, white where no class counts, beside each class its share of the pixels.",
    "",
    [
      [
        (class_names[k], f"{share:.2f}")
        for k, share in enumerate(
          np.bincount(mask.ravel(), minlength=IGNORED)[:num_classes] / mask.size
        )
        if share > _SHOWN_SHARE
      ]
      for mask in masks
    ],
    [colour(mask, num_classes) for mask in masks],
    dict(zip(class_names, map(_css, palette(num_classes)), strict=True)),
  )


def _css(rgb: UInt8[np.ndarray, "3"]) -> str:
  """Writes a colour as CSS does."""
  return "rgb({}, {}, {})".format(*rgb.tolist())


def class_section(metric: MeanIou, name: str, class_names: Sequence[str]) -> Section:
  """Makes the table of the classes.

  Args:
    metric: metric of a split.
    name: name of the split.
    class_names: names of the K classes.
  """
  values = {
    "name": "classes",
    "title": "Classes",
    "text": f"Of {name}: classes that occur or were predicted.",
    "headings": ["class", "IoU", "accuracy", "pixels"],
    "rows": [
      [
        row["class"],
        f"{row['iou']:.1%}",
        "" if row["accuracy"] is None else f"{row['accuracy']:.1%}",
        f"{row['pixels']:,}",
      ]
      for row in metric.per_class(class_names)
    ],
  }
  return Section("table.html.j2", values)


def overlay_section(
  metric: MeanIou,
  name: str,
  class_names: Sequence[str],
  example_of: Callable[[int], tuple[np.ndarray, np.ndarray, str]],
) -> Section:
  """Makes pictures of the images with the best and the worst mean IoU: truth beside prediction.

  Args:
    metric: metric of a split.
    name: name of the split.
    class_names: names of the K classes.
    example_of: function from the number of an image in the split to its pixels, uint8 [H, W, 3],
      the class of each, uint8 [H, W], and its name.
  """
  from hornet_jax.report import figures

  count, colours = len(class_names), palette(len(class_names))
  groups = []
  for title, previews in (("Best", metric.best()), ("Worst", metric.worst())):
    entries = []
    for preview in previews:
      pixels, truth, image_name = example_of(preview.index)
      rows, columns = preview_grid(truth.shape)
      grid = np.ix_(rows, columns)
      image, true = pixels[grid], truth[grid]
      predicted = preview.classes[: len(rows), : len(columns)]
      present = np.union1d(true[true != IGNORED], predicted[true != IGNORED])
      entries.append(
        {
          "title": image_name,
          "text": f"mean IoU {preview.iou:.1%}",
          "pictures": [
            {"src": figures.picture(picture, SIDE), "name": what}
            for what, picture in (
              ("image", image),
              ("true", overlay(image, true, count)),
              ("predicted", overlay(image, predicted, count)),
            )
          ],
          "classes": [
            {"name": class_names[k], "colour": _css(colours[k])} for k in present.tolist()
          ],
        }
      )
    groups.append({"title": title, "entries": entries})
  values = {
    "name": "overlays",
    "title": "Best and worst images",
    "text": f"Of {name}, by the mean IoU of each image alone, over the classes in it. Pixels that "
    "do not count are white in the true mask.",
    "groups": groups,
  }
  return Section("overlays.html.j2", values)


def mask_tables(
  metric: MeanIou, class_names: Sequence[str]
) -> dict[str, Sequence[Mapping[str, Any]]]:
  """Makes tables of the classes, of the images, and the confusion matrix in pixels.

  Args:
    metric: metric of a split.
    class_names: names of the K classes.
  """
  indices, ious = metric.by_image()
  return {
    "classes": metric.per_class(class_names),
    "by_image": [
      {"index": index, "miou": iou}
      for index, iou in sorted(zip(indices.tolist(), ious.tolist(), strict=True))
    ],
    "confusion": confusion_rows(metric.confusion, class_names),
  }
