"""Images and masks are joined to pairs by their names, before any of them is decoded."""

import collections
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

from hornet_jax.data.preparing.folder import is_hidden, walk
from hornet_jax.data.preparing.found_images import ALL, SPLIT_NAMES
from hornet_jax.data.preparing.masks.class_table import ClassTable
from hornet_jax.errors import InputError

Pair = tuple[pathlib.Path, pathlib.Path]
"""An image and its mask."""

Files = dict[str, dict[str, pathlib.Path]]
"""TFDS split name -> path within the folder of the split -> file."""


@dataclasses.dataclass(frozen=True)
class FoundPairs:
  """These are the images and masks that somebody means.

  Attributes:
    path: folder of the images.
    splits: TFDS split name -> pairs, sorted; `ALL` alone where they are yet to be split.
    left_out: file or folder -> reason why it is not used.
    rule: description of how they are split; empty where they are yet to be.
    table: table of the classes that the layout has; None where it has none of its own.
    note: sentence on what else is not read; empty for none.
  """

  path: pathlib.Path
  splits: dict[str, list[Pair]]
  left_out: dict[pathlib.Path, str]
  rule: str = ""
  table: ClassTable | None = None
  note: str = ""


def list_splits(folder: pathlib.Path, left_out: dict[pathlib.Path, str]) -> Files:
  """Lists the files of a folder by the folders in it that have names of splits.

  Where there are none, all files are of the split `ALL`. Links are followed.

  Args:
    folder: path of the folder.
    left_out: file or folder -> reason, to which what is hidden, or beside the splits, is added.

  Raises:
    InputError: if two folders are of the same split.
  """
  roots: dict[str, pathlib.Path] = {}
  beside: dict[pathlib.Path, str] = {}
  for entry in sorted(folder.iterdir()):
    split = SPLIT_NAMES.get(entry.name.lower())
    if not entry.is_dir() or not split:
      beside[entry] = "hidden" if is_hidden(entry) else "not in a folder of a split"
    elif split in roots:
      raise InputError(
        f"there must be one folder a split: {roots[split]} and {entry} are both {split!r}."
      )
    else:
      roots[split] = entry
  left_out |= beside if roots else {}
  order = {split: roots[split] for split in SPLIT_NAMES.values() if split in roots}
  return {
    split: {file.relative_to(root).as_posix(): file for file in walk(root, (), left_out)}
    for split, root in (order or {ALL: folder}).items()
  }


def join_pairs(
  path: pathlib.Path,
  images: Files,
  masks: Files,
  left_out: dict[pathlib.Path, str],
  table: ClassTable | None = None,
  note: str = "",
) -> FoundPairs:
  """Joins the images and the masks of each split that have the same path, but for the ending.

  Args:
    path: folder of the images.
    images: images of each split.
    masks: masks of each split.
    left_out: file or folder -> reason, to which those without a partner are added.
    table: see `FoundPairs`.
    note: see `FoundPairs`.

  Raises:
    InputError: if there is no pair, none to train on, or splits are told of one kind alone.
  """
  if images.keys() != masks.keys() and ALL in {*images, *masks}:
    raise InputError(
      "images and masks must lie in folders of the same splits: expected all or none, got "
      f"{_told(images)} of images and {_told(masks)} of masks, in {path}."
    )
  splits: dict[str, list[Pair]] = {}
  for split in dict.fromkeys([*images, *masks]):
    of_images = _by_stem(images.get(split, {}), left_out)
    of_masks = _by_stem(masks.get(split, {}), left_out)
    both = sorted(of_images.keys() & of_masks.keys())
    splits[split] = [(of_images[key], of_masks[key]) for key in both]
    for found, other, reason in (
      (of_images, of_masks, "an image without a mask"),
      (of_masks, of_images, "a mask without an image"),
    ):
      left_out |= {found[key]: reason for key in sorted(found.keys() - other.keys())}
  splits = {split: pairs for split, pairs in splits.items() if pairs}
  if not splits:
    raise InputError(
      "images and masks must have the same names, but for the ending: expected such as a/1.jpg and "
      f"a/1.png, got no pair in {path} (an image: {_first(images)}, a mask: {_first(masks)})."
    )
  if splits.keys() <= {"train", ALL}:
    [pairs] = splits.values()
    return FoundPairs(path, {ALL: pairs}, left_out, "", table, note)
  if "train" not in splits:
    raise InputError(
      f"there must be images and masks to train on: expected a split train, got "
      f"{', '.join(splits)} in {path}."
    )
  return FoundPairs(path, splits, left_out, f"by the folders {', '.join(splits)}", table, note)


def _first(splits: Files) -> str:
  return next((file.name for files in splits.values() for file in files.values()), "none")


def _told(splits: Files) -> str:
  return "none" if ALL in splits else ", ".join(splits)


def _by_stem(
  files: Mapping[str, pathlib.Path], left_out: dict[pathlib.Path, str]
) -> dict[str, pathlib.Path]:
  """Returns the files by their paths without ending; those that share one are left out."""
  found: dict[str, list[pathlib.Path]] = collections.defaultdict(list)
  for key, file in files.items():
    found[pathlib.PurePosixPath(key).with_suffix("").as_posix()].append(file)
  for several in found.values():
    if len(several) > 1:
      left_out |= dict.fromkeys(several, _alike(several))
  return {key: several[0] for key, several in found.items() if len(several) == 1}


def _alike(files: Sequence[pathlib.Path]) -> str:
  return f"of the same name as others: {', '.join(file.name for file in files)}"
