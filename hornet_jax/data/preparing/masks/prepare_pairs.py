"""This module prepares a dataset of somebody's own images and masks."""

import os

from etils import epath

from hornet_jax.data.preparing.masks.own_pairs import OwnPairs
from hornet_jax.data.preparing.prepare import build_own, printable


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
  description = {
    "description": f"Images of {printable(pairs.path)} with masks, split {pairs.rule}.",
    "class_names": list(pairs.table.names),
    "classes": list(pairs.table.classes.items()),
    "colours": pairs.table.colours,
    "splits": {
      split: [(os.fspath(image), os.fspath(mask)) for image, mask in of_split]
      for split, of_split in pairs.splits.items()
    },
  }
  prepared = build_own("pairs", description, pairs.left_out, name, data_dir)
  pairs.largest_sizes.write(prepared)
  return prepared
