"""This module finds prepared datasets and opens their files."""

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from hornet_jax.data.catalogue import DATASETS
from hornet_jax.data.category_ids import read_category_ids
from hornet_jax.data.descriptors import raise_limit
from hornet_jax.data.image_info import ImageInfo, read_image_info
from hornet_jax.data.largest_sizes import read_largest_size
from hornet_jax.data.shards import check_shards
from hornet_jax.errors import InputError, unknown_name
from hornet_jax.files import retried
from hornet_jax.paths import check_reachable, expanded

ARRAY_RECORD = "array_record"
"""The format of every prepared dataset, by TFDS's name for it."""

LABEL, MASK, OBJECTS = "label", "mask", "objects"
"""What the examples of a dataset tell of their images: the class of each, or of its pixels, or what
is seen on it, thing by thing."""


@dataclasses.dataclass(frozen=True)
class Split:
  """A `Split` is a prepared split, opened for random access.

  Attributes:
    name: name for messages, such as `digits/test`.
    source: sequence of examples, dictionaries with `image` (encoded bytes) and `label`, `mask`
      (encoded likewise) or `objects` (see `data.views.instances`).
    class_names: names of the K classes, in the order of the labels.
    files: paths of the files that hold it.
    image_info: description of its pixels; None where the dataset has none.
    largest_size: largest height and largest width of its images, in pixels; None where untold.
    target: what the examples are opened to tell: `LABEL`, `MASK` or `OBJECTS`.
    class_numbers: number of each class in the annotations that the dataset was made of; empty
      where it says none.
  """

  name: str
  source: Sequence[dict[str, Any]]
  class_names: list[str]
  files: Sequence[str] = ()
  image_info: ImageInfo | None = None
  largest_size: tuple[int, int] | None = None
  target: str = LABEL
  class_numbers: Sequence[int] = ()

  @property
  def num_shards(self) -> int:
    """Returns the number of files that hold it."""
    return max(len(self.files), 1)


def file_of(example: Mapping[str, Any]) -> str:
  """Returns the name of the file that an example's image was in; empty where it is not told."""
  return bytes(example.get("file_name", b"")).decode(errors="replace")


def resolve_data_dir(data_dir: str) -> epath.Path:
  """Returns `data_dir`, else $TFDS_DATA_DIR, else TFDS's own ~/tensorflow_datasets."""
  chosen = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
  check_reachable(chosen)
  return expanded(chosen, "data.data_dir, --data_dir or $TFDS_DATA_DIR")


def find_prepared(name: str, data_dir: str) -> epath.Path | None:
  """Finds the folder of a dataset's newest prepared version; None where there is none.

  Args:
    name: name in `DATASETS`, or of a dataset prepared by hand, such as `my_images` or
      `imagenette/full-size-v2`.
    data_dir: folder where datasets are prepared.
  """
  path = resolve_data_dir(data_dir) / ((name in DATASETS and DATASETS[name].tfds_name) or name)

  def list_prepared() -> list[epath.Path]:
    if not name or not path.is_dir():
      return []
    return [p for p in path.iterdir() if (p / "dataset_info.json").exists()]

  prepared = retried(f"listing {path}", list_prepared)
  versions = [p for p in prepared if re.fullmatch(r"\d+\.\d+\.\d+", p.name)]
  return max(versions, key=lambda p: [*map(int, p.name.split("."))], default=None)


def check_prepared(name: str, data_dir: str) -> epath.Path:
  """Finds a prepared dataset as `find_prepared`; else an `InputError` says how to prepare it."""
  path = find_prepared(name, data_dir)
  if path is not None:
    return path
  where = resolve_data_dir(data_dir)
  if name in DATASETS:
    raise InputError(
      f"dataset {name!r} is not prepared: expected it in {where}. "
      f"Hint: run `python -m hornet_jax prepare {name}"
      f"{' --archives=DIR' if DATASETS[name].needs_archives else ''}`."
    )
  folders = [p.name for p in where.iterdir()] if where.is_dir() else []
  own = [folder for folder in folders if find_prepared(folder, data_dir)]
  raise unknown_name("dataset", name, sorted({*DATASETS, *own}))


def find_image_info(name: str, data_dir: str) -> ImageInfo | None:
  """Reads what a dataset says of its images; None where it says nothing or is not prepared."""
  prepared = find_prepared(name, data_dir)
  return read_image_info(prepared) if prepared else None


def default_splits(name: str, data_dir: str) -> tuple[str, str]:
  """Returns the splits of a prepared dataset to train on and to evaluate on.

  They are those of `DATASETS`; for others `train`, and `validation` or else `test`.
  """
  if name in DATASETS:
    known = DATASETS[name]
    if not known.train_split:
      raise InputError(
        f"dataset {name!r} is for evaluation: expected one to train on. Hint: "
        f"--config.eval.also=('{name}/{known.eval_split}',) evaluates on it too."
      )
    return known.train_split, known.eval_split
  splits = _read_only_builder(name, data_dir).info.splits
  held_out = next((split for split in ("validation", "test") if split in splits), None)
  if "train" not in splits or held_out is None:
    raise InputError(
      f"dataset {name!r} must have a split `train` and one `validation` or `test`: it has "
      f"{', '.join(splits)}. Hint: name others in data.train_split and data.eval_split."
    )
  return "train", held_out


_TASKS = {LABEL: "image classification", MASK: "segmentation", OBJECTS: "instance segmentation"}


def open_split(name: str, split: str, data_dir: str, target: str = "") -> Split:
  """Opens a prepared split without TensorFlow, and lets this process open as many files as it may.

  Args:
    name: name of the dataset.
    split: name of the split, or a part of it in TFDS's notation, such as `train[:90%]`.
    data_dir: folder where datasets are prepared.
    target: what must be told of an image, `LABEL`, `MASK` or `OBJECTS`; empty for what the dataset
      tells.

  Raises:
    InputError: if the dataset is not prepared in `data_dir`, not as ArrayRecord, has no
      such split, or none of images with that target.
  """
  # Here, not above: the import costs seconds and `info` does without.
  import tensorflow_datasets as tfds

  raise_limit()
  builder = _read_only_builder(name, data_dir)
  features = builder.info.features
  target = target or next((key for key in (OBJECTS, MASK) if key in features), LABEL)
  class_names = _class_names(dict(features.items()), target)
  if class_names is None:
    kind = {LABEL: "ClassLabel", MASK: "LabeledImage", OBJECTS: "Sequence, with `rle`"}[target]
    hint = {OBJECTS: " Hint: `prepare coco` and `prepare instances` make such."}.get(target, "")
    raise InputError(
      f"dataset {name!r} must be of {_TASKS[target]}: expected the features `image` (Image) and "
      f"`{target}` ({kind}), got "
      f"{', '.join(f'`{k}`' for k in sorted(features)) or 'none'}.{hint}"
    )
  encoded = ["image", *([MASK] if target == MASK else [])]
  skip_decoding = {key: tfds.decode.SkipDecoding() for key in encoded}
  try:
    source = builder.as_data_source(split, decoders=skip_decoding, file_format=ARRAY_RECORD)
  except NotImplementedError as error:
    raise InputError(
      f"dataset {name!r} must be prepared as ArrayRecord: {builder.data_dir} is not. "
      f"Hint: run `python -m hornet_jax prepare tfrecord --path={builder.data_dir}`."
    ) from error
  except ValueError as error:
    raise InputError(
      f"dataset {name!r} has no split {split!r}: expected one of "
      f"{', '.join(builder.info.splits)}, or a part such as `train[:90%]`."
    ) from error
  # Of a dataset that has both, the other format gives the names.
  paths = [epath.Path(path) for path in builder.info.splits[split].filepaths]
  files = [
    os.fspath(path.parent / path.name.replace(".tfrecord-", f".{ARRAY_RECORD}-")) for path in paths
  ]
  check_shards(f"{name}/{split}", files)
  folder = epath.Path(builder.data_dir)
  return Split(
    f"{name}/{split}",
    source,
    class_names,
    files,
    read_image_info(folder),
    read_largest_size(folder, split),
    target,
    read_category_ids(folder, class_names) if target == OBJECTS else (),
  )


def _class_names(features: Mapping[str, Any], target: str) -> list[str] | None:
  """Returns the classes that a target is told in; None where the features are no such dataset's."""
  import tensorflow_datasets as tfds

  told = features.get(target)
  if not isinstance(features.get("image"), tfds.features.Image):
    return None
  if target == OBJECTS:
    if not isinstance(told, tfds.features.Sequence):
      return None
    inner = getattr(told, "feature", {})
    has_masks = "rle" in inner and isinstance(inner["label"], tfds.features.ClassLabel)
    return inner["label"].names if has_masks else None
  kind = {LABEL: tfds.features.ClassLabel, MASK: tfds.features.LabeledImage}[target]
  return told.names if isinstance(told, kind) else None


def _read_only_builder(name: str, data_dir: str) -> Any:
  import tensorflow_datasets as tfds

  return tfds.builder_from_directory(check_prepared(name, data_dir))
