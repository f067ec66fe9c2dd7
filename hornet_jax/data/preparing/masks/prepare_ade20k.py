"""This module prepares ADE20K from its archive."""

import os
import pathlib

from etils import epath

from hornet_jax.data.datasets import find_prepared, resolve_data_dir
from hornet_jax.data.preparing.from_archives import Prepared, build_from_archives, check_counts
from hornet_jax.data.preparing.imagenet.imagenet_archives import check_space
from hornet_jax.data.preparing.left_out import LEFT_OUT
from hornet_jax.data.preparing.masks.ade20k import NUM_IMAGES, Ade20k

ADE20K = "ade20k"
"""The name of the dataset."""

_IN_MESSAGES = "ADE20K"


def prepare_ade20k(
  archives: pathlib.Path, data_dir: str, *, partial: bool = False, generated: bool = False
) -> Prepared:
  """Makes sure that ADE20K is prepared; `left_out.txt` names what is not used.

  Args:
    archives: path of the archive, or of what it unpacks to, see `Ade20k`.
    data_dir: folder where datasets are prepared.
    partial: whether there may be fewer images or classes than published.
    generated: whether the images are made up.

  Raises:
    InputError: if the archive is missing, damaged or holds other numbers, the disk is too small,
      another process builds the dataset or the build failed.
  """
  if path := find_prepared(ADE20K, data_dir):
    return Prepared(path, existed=True)
  source = Ade20k(archives)
  source.check_count(partial=partial)
  check_space(source.files, resolve_data_dir(data_dir))
  return build_from_archives(
    ADE20K,
    data_dir,
    ADE20K,
    os.fspath(archives),
    generated=generated,
    what=_IN_MESSAGES,
  )


def check_ade20k_counts(path: epath.Path) -> None:
  """Raises `InputError` unless the prepared dataset has as many images as the published one.

  Those that `left_out.txt` names were there, too.

  Args:
    path: folder of its files.
  """
  names = [line.partition("\t")[0] for line in (path / LEFT_OUT).read_text().splitlines()]
  expected = {
    split: count - sum(name.startswith(f"{split}/") and name.endswith(".jpg") for name in names)
    for split, count in NUM_IMAGES.items()
  }
  check_counts(ADE20K, path, expected)
