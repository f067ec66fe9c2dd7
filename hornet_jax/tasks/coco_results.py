"""What was found in some images, in the format of COCO's annotations."""

import json
from collections.abc import Sequence

from hornet_jax.train.presentation import Answer


def coco_results(answers: Sequence[tuple[str, Answer]], class_names: Sequence[str]) -> str:
  """Writes images, categories and annotations with scores as JSON.

  Images and annotations are numbered from 1, categories as the classes, from 1 too. Masks are
  compressed run lengths. `hornet prepare instances` reads it.

  Args:
    answers: path of each image and what `object_answer` says of it.
    class_names: names of the K classes.
  """
  images: list[dict[str, object]] = []
  annotations: list[dict[str, object]] = []
  for number, (path, answer) in enumerate(answers, start=1):
    height, width = answer.record["size"]
    images.append({"id": number, "file_name": path, "height": height, "width": width})
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
