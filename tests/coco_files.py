"""Small images with annotations in COCO's format, for tests."""

import json

from pair_files import photo, write

CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat", "supercategory": "animal"}]


def annotation(number=1, image_id=1, **other):
  """A rectangle from (1, 1) to (4, 3) on an image of 4 x 6 pixels."""
  return {
    "id": number,
    "image_id": image_id,
    "category_id": 3,
    "bbox": [1, 1, 3, 2],
    "area": 6,
    "iscrowd": 0,
    "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3]],
    **other,
  }


def image(number=1, name=None, **other):
  return {"id": number, "file_name": name or f"{number}.jpg", "height": 4, "width": 6, **other}


def coco(images=(), annotations=(), categories=CATEGORIES, **other):
  parts = {"images": list(images), "annotations": list(annotations), "categories": categories}
  return json.dumps(parts | other).encode()


def write_set(folder, file, count=2, first=1, **other):
  """Writes `count` images of 4 x 6 pixels, with one annotation each, and their file."""
  numbers = range(first, first + count)
  for number in numbers:
    write(folder / f"{number}.jpg", photo(4, 6, seed=number))
  content = coco(map(image, numbers), [annotation(k, k) for k in numbers], **other)
  return write(file, content)
