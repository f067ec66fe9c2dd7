"""This module reads a folder of class folders as it is on somebody's disk."""

import collections
import logging
import os
import pathlib
import unicodedata
from collections.abc import Iterator

from hornet_jax.data.preparing.found_images import ALL, SPLIT_NAMES, FoundImages, Item
from hornet_jax.errors import InputError

_logger = logging.getLogger(__name__)
_NAMED_AT_MOST = 5


def find_in_folders(path: pathlib.Path, eval_path: pathlib.Path | None = None) -> FoundImages:
  """Finds the classes and splits of a folder of class folders.

  `path/train/CLASS/...` with `path/val` or `path/test` beside it is split by folder, as is
  `path/CLASS/...` with `eval_path/CLASS/...`; `path/CLASS/...`, or `path/train/CLASS/...` alone,
  is yet to be split. Images may lie at any depth in a class folder; links are followed. Whatever
  is hidden (`.ipynb_checkpoints`, `__MACOSX`) is left out.

  Args:
    path: path of the folder.
    eval_path: path of another folder of class folders, to evaluate on; None for none.

  Raises:
    InputError: if there is no such folder, no class folder in it, or it cannot be told whether
      folders are splits or classes.
  """
  for folder in filter(None, (path, eval_path)):
    if not folder.is_dir():
      raise InputError(f"`path` must be a folder of class folders: {folder} is none.")
  if eval_path is not None and path.samefile(eval_path):
    raise InputError(f"`eval_path` must be another folder than `path`: got {path} for both.")
  roots = _split_roots(path)
  if eval_path is not None:
    if ALL not in roots:
      raise InputError(
        f"`eval_path` is not used where folders make the split: expected none, got {eval_path} "
        f"with {', '.join(root.name for root in roots.values())}."
      )
    roots = {"train": roots[ALL], "validation": eval_path}
  class_names = sorted({_class_name(p) for root in roots.values() for p in _folders(root)})
  if not class_names:
    raise InputError(
      f"`path` must hold one folder a class: expected such as {path}/cat and {path}/dog, or "
      f"{path}/train/cat and {path}/test/cat; found no folder there. Hint: where a table has the "
      "labels, --labels=FILE.csv."
    )

  left_out: dict[pathlib.Path, str] = {}
  found: dict[str, list[Item]] = {}
  # A set: where folders make the splits, `path` itself may hold strays too.
  for folder in sorted({path, *roots.values()}):
    for entry in sorted(folder.iterdir()):
      if is_hidden(entry):
        left_out[entry] = "hidden"
      elif not entry.is_dir():
        left_out[entry] = "not in a class folder"
      elif folder == path and path not in roots.values() and entry not in roots.values():
        left_out[entry] = "a folder beside those of the splits"
  for split, root in roots.items():
    above = (os.path.realpath(path), os.path.realpath(root))
    found[split] = []
    folders = collections.defaultdict(list)
    for folder in _folders(root):
      folders[_class_name(folder)].append(folder)
    for label, name in enumerate(class_names):
      if len(folders[name]) > 1:
        _logger.info("class %s: %d folders, spelt alike in Unicode", name, len(folders[name]))
      for folder in folders[name]:
        found[split] += [(file, label) for file in walk(folder, above, left_out)]
  names = ", ".join(root.name for root in roots.values())
  rule = "" if ALL in roots else f"by its folders {names}"
  return FoundImages(path, class_names, found, left_out, rule)


def _split_roots(path: pathlib.Path) -> dict[str, pathlib.Path]:
  """Returns TFDS split name -> its folder, or {ALL: the folder that holds the classes}.

  A folder with the name of a split that holds folders is a split, else a class.
  """
  roots: dict[str, pathlib.Path] = {}
  for entry in _folders(path):
    split = SPLIT_NAMES.get(entry.name.lower())
    if split and _folders(entry):
      if split in roots:
        raise InputError(
          f"`path` must have one folder a split: {roots[split]} and {entry} are both {split!r}."
        )
      roots[split] = entry
  if not roots:
    return {ALL: path}
  if "train" in roots and len(roots) > 1:
    return {split: roots[split] for split in SPLIT_NAMES.values() if split in roots}
  if _folders(path) == [roots.get("train")]:
    return {ALL: roots["train"]}
  raise InputError(
    "`path` must hold the folders of splits, train and val or test, or those of classes: got "
    f"{', '.join(folder.name for folder in _folders(path)[:_NAMED_AT_MOST])}. Hint: add what is "
    "missing, or rename a class that is called like a split."
  )


def _folders(path: pathlib.Path) -> list[pathlib.Path]:
  """Lists the folders in a folder that are not hidden, sorted."""
  return sorted(p for p in path.iterdir() if p.is_dir() and not is_hidden(p))


def _class_name(folder: pathlib.Path) -> str:
  """Returns the name of a class folder in Unicode's composed form: file systems differ in that."""
  return unicodedata.normalize("NFC", folder.name)


def is_hidden(path: pathlib.Path) -> bool:
  """Tells by its name whether a system or a program put a file there for itself."""
  return path.name.startswith(".") or path.name == "__MACOSX"


def walk(
  folder: pathlib.Path, above: tuple[str, ...], left_out: dict[pathlib.Path, str]
) -> Iterator[pathlib.Path]:
  """Yields every regular file below a folder, sorted, through links but not in circles.

  Args:
    folder: path of the folder.
    above: real paths of the folders that it lies in, into which no link may lead back.
    left_out: file or folder -> reason, to which what is hidden or cannot be read is added.
  """
  real = os.path.realpath(folder)
  if real in above:
    left_out[folder] = "a link to a folder that it lies in"
    return
  try:
    entries = sorted(folder.iterdir())
  except OSError as error:
    left_out[folder] = f"cannot be listed: {error.strerror}"
    return
  for entry in entries:
    if is_hidden(entry):
      left_out[entry] = "hidden"
    elif entry.is_dir():
      yield from walk(entry, (*above, real), left_out)
    elif entry.is_file():
      yield entry
    else:
      left_out[entry] = "no regular file, or a link to nothing"
