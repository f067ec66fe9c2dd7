"""The datasets by name, and how their prepared files are opened."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from etils import epath

from hornet_jax.errors import InputError, unknown_name


@dataclasses.dataclass(frozen=True)
class Dataset:
  """An image classification dataset in TFDS form.

  Attributes:
    builder: dotted path of the module that holds the TFDS `Builder`.
    version: of the builder; files of another version are not read.
    train_split: TFDS split to train on.
    eval_split: TFDS split to evaluate on.
  """

  builder: str
  version: str
  train_split: str
  eval_split: str


DATASETS: dict[str, Dataset] = {
  "digits": Dataset(
    builder="hornet_jax.data.builders.digits.digits_dataset_builder",
    version="1.0.0",
    train_split="train",
    eval_split="test",
  ),
}


@dataclasses.dataclass(frozen=True)
class Split:
  """A prepared split, opened for random access.

  Attributes:
    name: such as `digits/test`, for messages.
    source: `source[i]` is a dictionary with `image` (encoded bytes) and `label`.
    class_names: K names, in the order of the labels.
  """

  name: str
  source: Sequence[dict[str, Any]]
  class_names: list[str]


def get_dataset(name: str) -> Dataset:
  """The entry of `DATASETS`; an `InputError` names the nearest where there is none."""
  if name not in DATASETS:
    raise unknown_name("dataset", name, DATASETS)
  return DATASETS[name]


def resolve_data_dir(data_dir: str) -> epath.Path:
  """`data_dir`, else $TFDS_DATA_DIR, else TFDS's own ~/tensorflow_datasets."""
  chosen = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
  return epath.Path(chosen).expanduser()


def find_prepared(name: str, data_dir: str) -> epath.Path | None:
  """The folder of a prepared dataset, or None where it is not prepared."""
  path = resolve_data_dir(data_dir) / name / get_dataset(name).version
  return path if (path / "dataset_info.json").exists() else None


def open_split(name: str, split: str, data_dir: str) -> Split:
  """Opens a prepared split without TensorFlow.

  Raises:
    InputError: if the dataset is not prepared in `data_dir`.
  """
  # Here, not above: the import costs seconds and `info` does without.
  import tensorflow_datasets as tfds

  path = find_prepared(name, data_dir)
  if path is None:
    raise InputError(
      f"dataset {name!r} is not prepared: expected it in {resolve_data_dir(data_dir)}. "
      f"Hint: run `python -m hornet_jax prepare {name}`."
    )
  builder = tfds.builder_from_directory(path)
  source = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
  return Split(f"{name}/{split}", source, builder.info.features["label"].names)
