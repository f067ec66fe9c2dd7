"""What was found in some images, in the format of COCO's annotations."""

import json
import os
from collections.abc import Sequence

from hornet_jax.train.presentation import Answer


def coco_results(answers: Sequence[tuple[str, Answer]], classes: Sequence[tuple[str, int]]) -> str:
  """Writes images, categories and annotations with scores as JSON.

  An image has the number that its file is named by, as those of COCO are; where one has none, or
  two have the same, they are numbered from 1, as annotations are. Masks are
  compressed run lengths. Names of files are those within the folder that all images have in
  common, which `hornet prepare instances` takes as `--images`.

  Args:
    answers: path of each image and what `object_answer` says of it.
    classes: name of each class, in the order of the labels, and its number as a category.
  """
  images: list[dict[str, object]] = []
  annotations: list[dict[str, object]] = []
  folders = {os.path.dirname(os.path.abspath(path)) for path, _ in answers}
  shared = os.path.commonpath(folders) if folders else ""
  numbers = _image_numbers([path for path, _ in answers])
  of_label = [category for _, category in classes]
  for number, (path, answer) in zip(numbers, answers, strict=True):
    height, width = answer.record["size"]
    name = os.path.relpath(os.path.abspath(path), shared)
    images.append({"id": number, "file_name": name, "height": height, "width": width})
    for one, row in zip(answer.record["objects"], answer.rows, strict=False):
      x0, y0, x1, y1 = one["box"]
      annotations.append(
        {
          "id": len(annotations) + 1,
          "image_id": number,
          "category_id": of_label[one["label"]],
          "score": one["score"],
          "bbox": [x0, y0, x1 - x0, y1 - y0],
          "area": row[-1],
          "segmentation": one["mask"],
          "iscrowd": 0,
        }
      )
  categories = [{"id": number, "name": name} for name, number in classes]
  document = {"images": images, "categories": categories, "annotations": annotations}
  return json.dumps(document, indent=1) + "\n"


def _image_numbers(paths: Sequence[str]) -> Sequence[int]:
  stems = [os.path.splitext(os.path.basename(path))[0] for path in paths]
  if all(stem.isascii() and stem.isdigit() for stem in stems):
    numbers = [int(stem) for stem in stems]
    if len(set(numbers)) == len(numbers):
      return numbers
  return range(1, len(paths) + 1)
