"""What a run learns from: a prepared split, or the part of it that a config chooses."""

import logging
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from hornet_jax.data.catalogue import DATASETS
from hornet_jax.data.datasets import OBJECTS, Split, default_splits, find_prepared, open_split
from hornet_jax.data.part import take_part
from hornet_jax.data.seen_on_images import object_counts
from hornet_jax.data.subset import take_subset
from hornet_jax.errors import InputError

_logger = logging.getLogger(__name__)


def open_training_split(data: Mapping[str, Any], target: str = "") -> Split:
  """Opens the split that a config trains on.

  Images on which no thing lies are left out of a dataset of things, unless `data.empty_images`; of
  the rest `data.unique_images` are taken, see `take_subset`.

  Source: mmdet `CustomDataset`, `filter_empty_gt`.

  Args:
    data: section `data` of a config.
    target: what must be told of an image, see `open_split`; empty for what the dataset tells.

  Raises:
    InputError: if the dataset is not prepared, or has too few images.
  """
  name, data_dir = data["dataset"], data["data_dir"]
  split_name = data["train_split"] or default_splits(name, data_dir)[0]
  split = open_split(name, split_name, data_dir, target)
  if split.target == OBJECTS and not data["empty_images"]:
    split = _without_empty(split)
  return take_subset(split, data["unique_images"]) if data["unique_images"] else split


def _without_empty(split: Split) -> Split:
  """Leaves out images on which there is nothing."""
  showing = np.flatnonzero(object_counts(split))
  if len(showing) == len(split.source):
    return split
  if not len(showing):
    raise InputError(
      f"{split.name} must have images with things on them: all of its {len(split.source):,} are "
      "empty. Hint: data.empty_images=True trains on them all the same."
    )
  _logger.info(
    "%s: %s of %s images have nothing on them and are left out (data.empty_images)",
    split.name,
    f"{len(split.source) - len(showing):,}",
    f"{len(split.source):,}",
  )
  return take_part(split, showing)


def training_size(data: Mapping[str, Any]) -> tuple[int, int]:
  """Returns the numbers of examples and classes to train on.

  Datasets whose sizes stand in `DATASETS` need not be prepared.

  Args:
    data: section `data` of a config.

  Raises:
    InputError: if the dataset is not prepared and its sizes are not known.
  """
  name, split = data["dataset"], data["train_split"]
  known = DATASETS.get(name)
  is_counted = known and known.may_lack_images and find_prepared(name, data["data_dir"])
  if known and known.num_examples and not is_counted:
    empty = 0 if data["empty_images"] else known.num_empty
    if split in ("", known.train_split):
      return data["unique_images"] or known.num_examples - empty, known.num_classes
    part = re.fullmatch(rf"{known.train_split}\[(\d*):(\d*)\]", split)
    if part and not empty:
      begin, end = (int(text) if text else None for text in part.groups())
      rows = range(known.num_examples)[begin:end]
      return data["unique_images"] or len(rows), known.num_classes
  opened = open_training_split({**data, "unique_images": 0})
  return data["unique_images"] or len(opened.source), len(opened.class_names)
