"""This module stores datasets of images and masks; it needs TensorFlow."""

import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from hornet_jax.data.datasets import ARRAY_RECORD
from hornet_jax.data.pixels.decode import UndecodableImageError
from hornet_jax.data.preparing.masks.class_table import ClassTable
from hornet_jax.data.preparing.masks.read_pair import read_pair
from hornet_jax.data.preparing.store import map_in_threads, store
from hornet_jax.data.views.masks import encode_png
from hornet_jax.errors import InputError


def build_pairs(description_file: str, data_dir: str) -> None:
  """Builds a dataset from the images and masks that `prepare_pairs` was given.

  Images are stored byte by byte, EXIF orientation included, masks as PNG files of classes.

  Args:
    description_file: path of a JSON file with `name`, `version`, `description`, `class_names`,
      `classes` (pairs of a number in a mask and its class), `colours` and `splits`: name -> list
      of (image, mask).
    data_dir: folder of prepared datasets.
  """
  import tensorflow_datasets as tfds

  told = json.loads(pathlib.Path(description_file).read_text())
  table = ClassTable(told["class_names"], dict(told["classes"]), told["colours"])

  def example(pair: tuple[str, str]) -> dict[str, Any]:
    image, mask = (pathlib.Path(file).read_bytes() for file in pair)
    try:
      classes = table.look_up(read_pair(image, mask, colours=table.colours))
    except UndecodableImageError as error:
      raise InputError(
        f"{pair[0]} and {pair[1]} were changed while they were read: {error}. Hint: run it again."
      ) from error
    # Names of files need not be text.
    name = os.fsencode(pair[0])
    return {"image": image, "mask": encode_png(classes), "file_name": name}

  def examples(pairs: list[tuple[str, str]]) -> Iterator[tuple[int, dict[str, Any]]]:
    yield from enumerate(map_in_threads(example, pairs))

  store(
    data_dir,
    name=told["name"],
    version=told["version"],
    description=told["description"],
    features=tfds.features.FeaturesDict(
      {
        "image": tfds.features.Image(),
        "mask": tfds.features.LabeledImage(
          labels=table.names, shape=(None, None, 1), encoding_format="png"
        ),
        "file_name": tfds.features.Text(),
      }
    ),
    split_datasets={split: examples(pairs) for split, pairs in told["splits"].items()},
  )


def build_ade20k(archives: str, data_dir: str) -> None:
  """Builds ADE20K from its archive, or from what that unpacks to.

  Args:
    archives: path of either, see `Ade20k`.
    data_dir: folder of prepared datasets.
  """
  from hornet_jax.data.preparing.builders.ade20k import ade20k_dataset_builder

  builder = ade20k_dataset_builder.Builder(
    archives=archives, data_dir=data_dir, file_format=ARRAY_RECORD
  )
  builder.download_and_prepare()
