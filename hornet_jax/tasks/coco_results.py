"""What was found in some images, in the format of COCO's annotations."""

import json
import os
from collections.abc import Sequence

from hornet_jax.train.presentation import Answer


def coco_results(answers: Sequence[tuple[str, Answer]], class_names: Sequence[str]) -> str:
  """Writes images, categories and annotations with scores as JSON.

  Images and annotations are numbered from 1, categories as the classes, from 1 too. Masks are
  compressed run lengths. Names of files are those within the folder that all images have in
  common, which `hornet prepare instances` takes as `--images`.

  Args:
    answers: path of each image and what `object_answer` says of it.
    class_names: names of the K classes.
  """
  images: list[dict[str, object]] = []
  annotations: list[dict[str, object]] = []
  folders = {os.path.dirname(os.path.abspath(path)) for path, _ in answers}
  shared = os.path.commonpath(folders) if folders else ""
  for number, (path, answer) in enumerate(answers, start=1):
    height, width = answer.record["size"]
    name = os.path.relpath(os.path.abspath(path), shared)
    images.append({"id": number, "file_name": name, "height": height, "width": width})
    for one, row in zip(answer.record["objects"], answer.rows, strict=False):
      x0, y0, x1, y1 = one["box"]
      annotations.append(
        {
          "id": len(annotations) + 1,
          "image_id": number,
          "category_id": one["label"] + 1,
          "score": one["score"],
          "bbox": [x0, y0, x1 - x0, y1 - y0],
          "area": row[-1],
          "segmentation": one["mask"],
          "iscrowd": 0,
        }
      )
  categories = [{"id": k, "name": name} for k, name in enumerate(class_names, start=1)]
  document = {"images": images, "categories": categories, "annotations": annotations}
  return json.dumps(document, indent=1) + "\n"
