"""This module reads a folder of class folders as it is on somebody's disk."""

import collections
import dataclasses
import hashlib
import itertools
import logging
import multiprocessing.pool
import operator
import os
import pathlib
import unicodedata
from collections.abc import Iterator

from tqdm import tqdm

from hornet_jax.data.decode import UndecodableImageError, decode
from hornet_jax.errors import InputError

# Names that people give to the folders of splits -> names of TFDS splits.
_SPLITS = {
  "train": "train",
  "training": "train",
  "val": "validation",
  "valid": "validation",
  "validation": "validation",
  "dev": "validation",
  "eval": "validation",
  "test": "test",
  "testing": "test",
}
_logger = logging.getLogger(__name__)
_THREADS = 4
_NAMED_AT_MOST = 5


@dataclasses.dataclass(frozen=True)
class ImageFolder:
  """An `ImageFolder` tells of every file of a folder: it is in `splits` or in `left_out`.

  Attributes:
    path: path of the folder.
    rule: description of how it was split.
    class_names: names of the class folders, sorted; a label is a position in it.
    splits: TFDS split name -> (file, label) of every image that decodes, sorted.
    left_out: file or folder -> reason why it is not used.
  """

  path: pathlib.Path
  rule: str
  class_names: list[str]
  splits: dict[str, list[tuple[pathlib.Path, int]]]
  left_out: dict[pathlib.Path, str]

  def counts(self, split: str) -> list[int]:
    """Counts the images of each class in a split."""
    count = collections.Counter(label for _, label in self.splits[split])
    return [count[label] for label in range(len(self.class_names))]


def read_folder(path: pathlib.Path, eval_fraction: float | None = None) -> ImageFolder:
  """Finds the classes and splits of a folder, and decodes every image once to check it.

  `path/train/CLASS/...` with `path/val` or `path/test` beside it is split by folder.
  `path/CLASS/...`, or `path/train/CLASS/...` alone, is split by rule: of each class the
  `eval_fraction` of images (at least one, and never all) with the smallest SHA-256 of their
  path within the folder go to `test`, so that the split does not depend on the order of a
  listing. Images may lie at any depth in a class folder; links are followed. Whatever is
  hidden (`.ipynb_checkpoints`, `__MACOSX`) is left out.

  Args:
    path: path of the folder.
    eval_fraction: share of each class that is held out, in (0, 1); None for 0.1. It must be None
      where folders make the split.

  Raises:
    InputError: if there is no such folder, no class folder or no image in a training class,
      or it cannot be told whether folders are splits or classes.
  """
  if not path.is_dir():
    raise InputError(f"`path` must be a folder of class folders: {path} is none.")
  roots = _split_roots(path)
  if eval_fraction is not None and "all" not in roots:
    raise InputError(
      f"`eval_fraction` is not used where folders make the split: expected none, got "
      f"{eval_fraction} with {', '.join(root.name for root in roots.values())}."
    )
  eval_fraction = 0.1 if eval_fraction is None else eval_fraction
  if not 0 < eval_fraction < 1:
    raise InputError(f"`eval_fraction` must be > 0 and < 1: got {eval_fraction}.")
  class_names = sorted({_class_name(p) for root in roots.values() for p in _folders(root)})
  if not class_names:
    raise InputError(
      f"`path` must hold one folder a class: expected such as {path}/cat and {path}/dog, or "
      f"{path}/train/cat and {path}/test/cat; found no folder there."
    )

  left_out: dict[pathlib.Path, str] = {}
  found: dict[str, list[tuple[pathlib.Path, int]]] = {}
  # A set: where folders make the splits, `path` itself may hold strays too.
  for folder in sorted({path, *roots.values()}):
    for entry in sorted(folder.iterdir()):
      if _is_hidden(entry):
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
        found[split] += [(file, label) for file in _walk(folder, above, left_out)]

  everything = [file for items in found.values() for file, _ in items]
  left_out |= _undecodable(everything)
  splits = {
    split: [item for item in items if item[0] not in left_out] for split, items in found.items()
  }
  rule = f"by its folders {', '.join(root.name for root in roots.values())}"
  if "all" in splits:
    splits = _split_by_hash(path, splits["all"], eval_fraction)
    rule = (
      f"by rule: of each class the {eval_fraction:.4g} (at least one image, never all) with the "
      "smallest SHA-256 of their paths go to test"
    )
  if not splits["train"]:
    raise InputError(
      f"`path` must hold images to train on: expected some in the class folders of {path}, "
      f"found none that decodes ({len(left_out)} files left out)."
    )
  empty = [split for split, items in splits.items() if not items]
  if empty:
    raise InputError(
      f"`path` must hold images to evaluate on: expected some for {empty[0]}, found none that "
      f"decodes, split {rule}. Hint: two images of a class are the least."
    )
  return ImageFolder(path, rule, class_names, splits, left_out)


def _split_roots(path: pathlib.Path) -> dict[str, pathlib.Path]:
  """Returns TFDS split name -> its folder, or {"all": the folder that holds the classes}.

  A folder with the name of a split that holds folders is a split, else a class.
  """
  roots: dict[str, pathlib.Path] = {}
  for entry in _folders(path):
    split = _SPLITS.get(entry.name.lower())
    if split and _folders(entry):
      if split in roots:
        raise InputError(
          f"`path` must have one folder a split: {roots[split]} and {entry} are both {split!r}."
        )
      roots[split] = entry
  if not roots:
    return {"all": path}
  if "train" in roots and len(roots) > 1:
    return {split: roots[split] for split in _SPLITS.values() if split in roots}
  if _folders(path) == [roots.get("train")]:
    return {"all": roots["train"]}
  raise InputError(
    "`path` must hold the folders of splits, train and val or test, or those of classes: got "
    f"{', '.join(folder.name for folder in _folders(path)[:_NAMED_AT_MOST])}. Hint: add what is "
    "missing, or rename a class that is called like a split."
  )


def _folders(path: pathlib.Path) -> list[pathlib.Path]:
  """Lists the folders in a folder that are not hidden, sorted."""
  return sorted(p for p in path.iterdir() if p.is_dir() and not _is_hidden(p))


def _class_name(folder: pathlib.Path) -> str:
  """Returns the name of a class folder in Unicode's composed form: file systems differ in that."""
  return unicodedata.normalize("NFC", folder.name)


def _is_hidden(path: pathlib.Path) -> bool:
  """Returns whether a system or a program put a file there for itself."""
  return path.name.startswith(".") or path.name == "__MACOSX"


def _walk(
  folder: pathlib.Path, above: tuple[str, ...], left_out: dict[pathlib.Path, str]
) -> Iterator[pathlib.Path]:
  """Yields every regular file below `folder`, sorted, through links but not in circles."""
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
    if _is_hidden(entry):
      left_out[entry] = "hidden"
    elif entry.is_dir():
      yield from _walk(entry, (*above, real), left_out)
    elif entry.is_file():
      yield entry
    else:
      left_out[entry] = "no regular file, or a link to nothing"


def _undecodable(files: list[pathlib.Path]) -> dict[pathlib.Path, str]:
  """Returns the files that cannot be decoded, and why."""

  def check(file: pathlib.Path) -> str | None:
    try:
      decode(file.read_bytes())
    except (OSError, UndecodableImageError) as error:
      return str(error)
    return None

  with multiprocessing.pool.ThreadPool(_THREADS) as pool:
    checked = pool.imap(check, files, chunksize=64)  # in order
    checks = tqdm(checked, "checking", len(files), unit="image", disable=None)
    reasons = dict(zip(files, checks, strict=True))
  return {file: reason for file, reason in reasons.items() if reason is not None}


def _split_by_hash(
  path: pathlib.Path, items: list[tuple[pathlib.Path, int]], fraction: float
) -> dict[str, list[tuple[pathlib.Path, int]]]:
  def digest(item: tuple[pathlib.Path, int]) -> bytes:
    return hashlib.sha256(os.fsencode(item[0].relative_to(path).as_posix())).digest()

  splits: dict[str, list[tuple[pathlib.Path, int]]] = {"train": [], "test": []}
  # Items are sorted by label.
  for _, group in itertools.groupby(items, key=operator.itemgetter(1)):
    of_class = sorted(group, key=digest)
    held_out = min(max(round(fraction * len(of_class)), 1), len(of_class) - 1)
    splits["test"] += sorted(of_class[:held_out])
    splits["train"] += sorted(of_class[held_out:])
  return splits
