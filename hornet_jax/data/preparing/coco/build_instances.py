"""This module stores datasets of images and the things on them; it needs TensorFlow."""

import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from hornet_jax.data.preparing.coco.check_instances import CheckedImage
from hornet_jax.data.preparing.coco.image_places import read_place
from hornet_jax.data.preparing.store import map_in_threads, store

_CHUNK = 256  # images


def features(class_names: Sequence[str]) -> Any:
  """Gives the TFDS features of a dataset of things.

  `bbox` is (x, y, width, height) in pixels, as COCO has it; `rle` the compressed run lengths of a
  mask of the whole image, whose `height` and `width` are those that its EXIF data turn it to.

  Args:
    class_names: names of the classes.
  """
  import tensorflow_datasets as tfds

  return tfds.features.FeaturesDict(
    {
      "image": tfds.features.Image(),
      "file_name": tfds.features.Text(),
      "image_id": np.int64,
      "height": np.int32,
      "width": np.int32,
      "objects": tfds.features.Sequence(
        {
          "id": np.int64,
          "bbox": tfds.features.Tensor(shape=(4,), dtype=np.float32),
          "area": np.float32,
          "label": tfds.features.ClassLabel(names=list(class_names)),
          "is_crowd": np.bool_,
          "rle": tfds.features.Text(),
        }
      ),
    }
  )


def described(image: CheckedImage) -> dict[str, Any]:
  """Describes an image by JSON types, for `examples`."""
  return {
    "place": image.place,
    # Names of files need not be text.
    "file_name": os.fsencode(image.file_name).decode("utf-8", "backslashreplace"),
    "image_id": image.image_id,
    "height": image.size[0],
    "width": image.size[1],
    "objects": [thing.stored for thing in image.objects],
  }


def examples(images: Iterable[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
  """Yields the examples of a split, with the bytes of the images as they are.

  Args:
    images: images as `described` describes them.
  """

  def example(image: dict[str, Any]) -> dict[str, Any]:
    archive, name = image["place"]
    rest = {key: value for key, value in image.items() if key != "place"}
    return {"image": read_place((archive, name)), **rest}

  def chunks() -> Iterator[list[dict[str, Any]]]:
    chunk = []
    for image in images:
      chunk.append(image)
      if len(chunk) == _CHUNK:
        yield chunk
        chunk = []
    yield chunk

  number = 0
  for chunk in chunks():
    for made in map_in_threads(example, chunk):
      yield number, made
      number += 1


def build_instances(description_file: str, data_dir: str) -> None:
  """Builds a dataset from the images and things that `prepare_instances` was given.

  Images are stored byte by byte, EXIF orientation included.

  Args:
    description_file: path of a JSON file with `name`, `version`, `description`, `homepage`,
      `class_names`, `splits` (name -> path of a file with a line of JSON for each image, see
      `described`) and `beside`: name of a file beside those of the dataset -> its content.
    data_dir: folder of prepared datasets.
  """
  told = json.loads(pathlib.Path(description_file).read_text())

  def images(file: str) -> Iterator[dict[str, Any]]:
    with open(file) as lines:
      yield from map(json.loads, lines)

  builder = store(
    data_dir,
    name=told["name"],
    version=told["version"],
    description=told["description"],
    homepage=told["homepage"] or None,
    features=features(told["class_names"]),
    split_datasets={split: examples(images(file)) for split, file in told["splits"].items()},
  )
  for name, content in told["beside"].items():
    (pathlib.Path(builder.data_dir) / name).write_text(content)
