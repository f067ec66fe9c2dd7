"""This module writes datasets as TFDS does, in the ArrayRecord format; it needs TensorFlow.

`prepare` runs it as `python -m hornet_jax.data.preparing.build KIND ARGUMENT...`. It ends when its
standard input does, which `prepare` holds open.
"""

import importlib
import json
import os
import pathlib
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from absl import logging

from hornet_jax.data.catalogue import get_dataset
from hornet_jax.data.datasets import ARRAY_RECORD, LABEL, check_prepared, open_split
from hornet_jax.data.imagenet_classes import synsets
from hornet_jax.data.pixels.smaller import shrink, smaller_name
from hornet_jax.data.preparing.coco.build_instances import build_instances
from hornet_jax.data.preparing.convert_tfrecord import convert_tfrecord
from hornet_jax.data.preparing.idx import read_mnist_files
from hornet_jax.data.preparing.imagenet.eval_archives import EvalArchives
from hornet_jax.data.preparing.left_out import LEFT_OUT, left_out_text
from hornet_jax.data.preparing.masks.build_pairs import build_ade20k, build_pairs
from hornet_jax.data.preparing.store import map_in_threads, store
from hornet_jax.errors import InputError


def build_known(name: str, data_dir: str) -> None:
  """Builds a dataset of `DATASETS`; those of TFDS's catalogue are downloaded."""
  import tensorflow_datasets as tfds

  dataset = get_dataset(name)
  if dataset.builder:
    module = importlib.import_module(dataset.builder)
    builder = module.Builder(data_dir=data_dir, file_format=ARRAY_RECORD)
  else:
    builder = tfds.builder(dataset.tfds_name, data_dir=data_dir, file_format=ARRAY_RECORD)
  builder.download_and_prepare()


def build_imagenet(archives: str, data_dir: str) -> None:
  """Builds TFDS's imagenet2012 from the archives in a folder."""
  import tensorflow_datasets as tfds

  if sys.stderr.isatty():
    tfds.enable_progress_bar()
  builder = tfds.builder("imagenet2012", data_dir=data_dir, file_format=ARRAY_RECORD)
  config = tfds.download.DownloadConfig(manual_dir=archives)
  builder.download_and_prepare(download_config=config)


def build_imagenet22k(
  archives: str, build: str, classes_file: str, beam_options: str, data_dir: str
) -> None:
  """Builds ImageNet-22K from archives.

  Args:
    archives: path of the archives, see `find_archives`.
    build: name of the build in `BUILDS`.
    classes_file: path of a text file with one synset a line.
    beam_options: flags of Apache Beam, which then builds it; empty to build it in this process.
    data_dir: folder of prepared datasets.
  """
  import tensorflow_datasets as tfds

  from hornet_jax.data.preparing.builders.imagenet22k import imagenet22k_dataset_builder

  if sys.stderr.isatty():
    tfds.enable_progress_bar()
  builder = imagenet22k_dataset_builder.Builder(
    config=build,
    archives=archives,
    class_names=pathlib.Path(classes_file).read_text().split(),
    on_beam=bool(beam_options),
    data_dir=data_dir,
    file_format=ARRAY_RECORD,
  )
  config = tfds.download.DownloadConfig()
  if beam_options:
    from apache_beam.options.pipeline_options import PipelineOptions

    config = config.replace(beam_options=PipelineOptions(shlex.split(beam_options)))
  builder.download_and_prepare(download_config=config)


def build_eval_set(name: str, archives: str, data_dir: str) -> None:
  """Builds an evaluation set around ImageNet from its archives; the images stay as they are.

  Args:
    name: name in `EVAL_SETS`.
    archives: path of the archives, see `EvalArchives`.
    data_dir: folder of prepared datasets.
  """
  import tensorflow_datasets as tfds

  source = EvalArchives(name, pathlib.Path(archives))

  def examples() -> Iterator[tuple[str, dict[str, Any]]]:
    for image in source.images():
      yield image.name, {"image": image.read(), "label": image.label, "file_name": image.name}

  eval_set = source.eval_set
  stored_name, _, config = eval_set.tfds_name.partition("/")
  builder = store(
    data_dir,
    name=stored_name,
    config=config or None,
    version="1.0.0",
    description=f"{name}, from {' and '.join(eval_set.archives)}.",
    features=tfds.features.FeaturesDict(
      {
        "image": tfds.features.Image(),
        "label": tfds.features.ClassLabel(names=synsets()),
        "file_name": tfds.features.Text(),
      }
    ),
    split_datasets={"test": examples()},
    homepage=eval_set.homepage,
  )
  (pathlib.Path(builder.data_dir) / LEFT_OUT).write_text(left_out_text(source.left_out))


def build_fashion_mnist(idx_dir: str, data_dir: str) -> None:
  """Builds TFDS's fashion_mnist from the idx files of a folder instead of a download."""
  import tensorflow_datasets as tfds

  def examples(images: Any, labels: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for i, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
      yield i, {"image": image, "label": label}

  splits = {
    name: examples(*arrays) for name, arrays in read_mnist_files(pathlib.Path(idx_dir)).items()
  }
  known = tfds.builder("fashion_mnist", data_dir=data_dir)
  store(
    data_dir,
    name=known.name,
    version=known.version,
    description=f"{known.info.description} Read from idx files.",
    features=known.info.features,
    split_datasets=splits,
    homepage=known.info.homepage,
    citation=known.info.citation,
  )


def build_folder(description_file: str, data_dir: str) -> None:
  """Builds a dataset from the images that `prepare_folder` was given.

  The files are stored byte by byte, EXIF orientation included.

  Args:
    description_file: path of a JSON file with `name`, `version`, `description`, `class_names` and
      `splits`: name -> list of (file, label).
    data_dir: folder of prepared datasets.
  """
  import tensorflow_datasets as tfds

  def examples(items: list[tuple[str, int]]) -> Iterator[tuple[int, dict[str, Any]]]:
    for i, (file, label) in enumerate(items):
      content = pathlib.Path(file).read_bytes()
      # Names of files need not be text.
      name = file.encode("utf-8", "surrogateescape")
      yield i, {"image": content, "label": label, "file_name": name}

  folder = json.loads(pathlib.Path(description_file).read_text())
  features = tfds.features.FeaturesDict(
    {
      "image": tfds.features.Image(),
      "label": tfds.features.ClassLabel(names=folder["class_names"]),
      "file_name": tfds.features.Text(),
    }
  )
  store(
    data_dir,
    name=folder["name"],
    version=folder["version"],
    description=folder["description"],
    features=features,
    split_datasets={name: examples(items) for name, items in folder["splits"].items()},
  )


def build_smaller(name: str, short_side: str, quality: str, data_dir: str) -> None:
  """Builds a copy of a prepared dataset whose images are smaller.

  Args:
    name: name of the dataset.
    short_side: short side of the copies in pixels.
    quality: quality of their JPEGs.
    data_dir: folder of prepared datasets.
  """
  import tensorflow_datasets as tfds

  side, level = int(short_side), int(quality)
  source = tfds.builder_from_directory(check_prepared(name, data_dir))

  def copies(split: str) -> Iterator[tuple[int, dict[str, Any]]]:
    examples = open_split(name, split, data_dir, LABEL).source

    def copy(i: int) -> dict[str, Any]:
      example = examples[i]
      return {**example, "image": shrink(example["image"], side, level)}

    yield from enumerate(map_in_threads(copy, range(len(examples))))

  store(
    data_dir,
    name=smaller_name(name, side, level),
    version=str(source.info.version),
    description=f"{name} with images of a short side of {side} pixels at most, as JPEGs of "
    f"quality {level}. {source.info.description}",
    features=tfds.features.FeaturesDict(
      {**dict(source.info.features.items()), "image": tfds.features.Image()}
    ),
    split_datasets={split: copies(split) for split in source.info.splits},
    homepage=source.info.homepage,
    citation=source.info.citation,
  )


KINDS: dict[str, Callable[..., None]] = {
  "known": build_known,
  "imagenet2012": build_imagenet,
  "imagenet22k": build_imagenet22k,
  "eval_set": build_eval_set,
  "ade20k": build_ade20k,
  "pairs": build_pairs,
  "instances": build_instances,
  "fashion_mnist": build_fashion_mnist,
  "folder": build_folder,
  "smaller": build_smaller,
  "tfrecord": convert_tfrecord,
}


def _end_with_input() -> None:
  """Ends this process, and the group that it leads, with the one that started it."""

  def wait() -> None:
    while os.read(0, 1):
      pass
    if os.getpgrp() == os.getpid():
      os.killpg(0, signal.SIGKILL)  # Beam's workers as well
    os._exit(1)

  threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
  _end_with_input()
  logging.set_verbosity(logging.ERROR)  # not that of a split without an archive
  try:
    KINDS[sys.argv[1]](*sys.argv[2:])
  except InputError as error:
    sys.exit(str(error))
