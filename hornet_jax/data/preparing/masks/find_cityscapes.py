"""This module finds the images and masks of Cityscapes, or of what is laid out like it."""

import collections
import pathlib
from collections.abc import Iterable, Mapping

from hornet_jax.data.preparing.masks.cityscapes_classes import LABEL_IDS, TRAIN_IDS
from hornet_jax.data.preparing.masks.found_pairs import Files, FoundPairs, join_pairs, list_splits
from hornet_jax.wording import counted

_IMAGES, _MASKS = "leftImg8bit", "gtFine"
_OF_IMAGES = "_leftImg8bit.png"
# The first that is there counts: that of the release, where somebody made the other beside it.
_TABLES = {"_gtFine_labelIds.png": LABEL_IDS, "_gtFine_labelTrainIds.png": TRAIN_IDS}
_UNREAD = ("_gtFine_color.png", "_gtFine_instanceIds.png", "_gtFine_polygons.json")


def is_cityscapes(path: pathlib.Path) -> bool:
  """Tells whether a folder holds those of Cityscapes, `leftImg8bit` and `gtFine`."""
  return (path / _IMAGES).is_dir() and (path / _MASKS).is_dir()


def find_cityscapes(path: pathlib.Path) -> FoundPairs:
  """Finds `leftImg8bit/SPLIT/CITY/*_leftImg8bit.png` and their masks.

  These are `gtFine/SPLIT/CITY/*_gtFine_labelIds.png`, of 34 numbers, or where there are none
  `*_gtFine_labelTrainIds.png`, of 19.

  Args:
    path: folder of both.

  Raises:
    InputError: if there is no pair, or none to train on.
  """
  left_out: dict[pathlib.Path, str] = {}
  images, masks = (list_splits(path / name, left_out) for name in (_IMAGES, _MASKS))
  names = [name for files in masks.values() for name in files]
  suffix = next(
    (s for s in _TABLES if any(name.endswith(s) for name in names)), next(iter(_TABLES))
  )
  others = {*_TABLES, *_UNREAD} - {suffix}
  unread = collections.Counter(s for s in others for name in names if name.endswith(s))
  masks = {
    split: {name: file for name, file in files.items() if not name.endswith(tuple(others))}
    for split, files in masks.items()
  }
  note = ", ".join(f"{counted(unread[s], 'file')} *{s}" for s in sorted(unread))
  beside = [entry for entry in sorted(path.iterdir()) if entry.name not in (_IMAGES, _MASKS)]
  left_out |= dict.fromkeys(beside, "beside the images and masks")
  return join_pairs(
    path / _IMAGES,
    _named(images, _OF_IMAGES, left_out),
    _named(masks, suffix, left_out),
    left_out,
    _TABLES[suffix],
    note,
  )


def _named(splits: Files, suffix: str, left_out: dict[pathlib.Path, str]) -> Files:
  """Keeps the files whose names end so, by their names without that."""

  def kept(files: Mapping[str, pathlib.Path]) -> Iterable[tuple[str, pathlib.Path]]:
    for name, file in files.items():
      if name.endswith(suffix):
        yield f"{name.removesuffix(suffix)}.png", file
      else:
        left_out[file] = f"no name that ends in {suffix}"

  return {split: dict(kept(files)) for split, files in splits.items()}
