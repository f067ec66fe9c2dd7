"""This module prepares a dataset of somebody's own images and masks."""

import json
import os
import pathlib
import tempfile

from etils import epath

from hornet_jax.data.building import building
from hornet_jax.data.datasets import resolve_data_dir
from hornet_jax.data.left_out import LEFT_OUT, left_out_text
from hornet_jax.data.own_pairs import OwnPairs
from hornet_jax.data.prepare import build, check_name_is_free, printable

_VERSION = "1.0.0"


def prepare_pairs(pairs: OwnPairs, name: str, data_dir: str) -> epath.Path:
  """Makes a dataset of images and masks; `left_out.txt` beside it names the files not used.

  Args:
    pairs: images and masks, as `check_and_split_pairs` left them.
    name: name of the new dataset, for `data.dataset`.
    data_dir: folder where datasets are prepared.

  Returns:
    The folder of the dataset's files.

  Raises:
    InputError: if the name is taken or no name for a dataset, or the build failed.
  """
  check_name_is_free(name, data_dir)
  description = {
    "name": name,
    "version": _VERSION,
    "description": f"Images of {printable(pairs.path)} with masks, split {pairs.rule}.",
    "class_names": list(pairs.table.names),
    "classes": list(pairs.table.classes.items()),
    "colours": pairs.table.colours,
    "splits": {
      split: [(os.fspath(image), os.fspath(mask)) for image, mask in of_split]
      for split, of_split in pairs.splits.items()
    },
  }
  with (
    building(resolve_data_dir(data_dir) / name) as lock,
    tempfile.TemporaryDirectory() as temporary,
  ):
    file = pathlib.Path(temporary) / "pairs.json"
    file.write_text(json.dumps(description))
    prepared = build(name, data_dir, "pairs", os.fspath(file), keep_open=lock.keep_open)
  pairs.largest_sizes.write(prepared)
  if pairs.left_out:
    named = [(printable(path), reason) for path, reason in pairs.left_out.items()]
    (prepared / LEFT_OUT).write_text(left_out_text(named))
  return prepared
