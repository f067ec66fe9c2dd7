"""This module reads ADE20K out of the archive of its scene parsing benchmark."""

import functools
import os
import pathlib
import re
import zipfile
import zlib
from collections.abc import Callable

import numpy as np

from hornet_jax.data.pixels.decode import UndecodableImageError
from hornet_jax.data.preparing.archive_members import OUTSIDE, leads_outside
from hornet_jax.data.preparing.folder import walk
from hornet_jax.data.preparing.masks.class_table import ClassTable
from hornet_jax.data.preparing.masks.read_pair import read_pair
from hornet_jax.data.views.masks import IGNORED
from hornet_jax.errors import InputError

ARCHIVE = "ADEChallengeData2016.zip"
HOMEPAGE = "http://sceneparsing.csail.mit.edu"
NUM_IMAGES = {"train": 20_210, "validation": 2_000}
"""Split -> its images. Source: the page of the benchmark."""
NUM_CLASSES = 150
CLASSES_FILE = "objectInfo150.txt"
"""The file of the archive that names the classes."""

_ROOT = "ADEChallengeData2016"
_KINDS = {"images": ".jpg", "annotations": ".png"}
_FOLDERS = {"training": "train", "validation": "validation"}
_LAYOUT = re.compile(
  rf"(?:.*/)?(?P<kind>{'|'.join(_KINDS)})/(?P<folder>{'|'.join(_FOLDERS)})/(?P<name>[^/]+)"
)
_Reader = Callable[[], bytes]


class Ade20k:
  """`Ade20k` reads images and masks, and names every file that is not used.

  Attributes:
    class_names: names of the classes, in the order of their numbers.
    pairs: split -> names of the pairs without ending, sorted.
    left_out: name in the archive of each file that is not used, and the reason.
    files: archives; none where they are unpacked.
  """

  def __init__(self, place: pathlib.Path):
    """Finds the files.

    Args:
      place: path of the archive, of a folder that holds it, or of one that holds what it unpacks
        to.

    Raises:
      InputError: if nothing is there, the archive is damaged, or the classes are not named.
    """
    self.left_out: list[tuple[str, str]] = []
    self._readers: dict[tuple[str, str, str], _Reader] = {}  # (kind, split, name) -> reader
    self._place = place
    classes: _Reader | None = None
    archive = next((p for p in (place, place / ARCHIVE) if p.is_file()), None)
    self.files = [archive] if archive else []
    for name, read in _members(archive) if archive else self._unpacked(place):
      path = pathlib.PurePosixPath(name)
      match = _LAYOUT.fullmatch(name)
      if leads_outside(name):
        self.left_out.append((name, OUTSIDE))
      elif path.name == CLASSES_FILE:
        classes = read
      elif match is None or path.suffix != _KINDS[match["kind"]] or path.name.startswith("."):
        self.left_out.append((name, "neither image nor mask"))
      elif self._readers.setdefault(_key(match), read) is not read:
        self.left_out.append((name, "a duplicate, by name"))
    self.pairs = self._paired()
    if not any(self.pairs.values()):
      raise InputError(
        f"`archives` must hold {ARCHIVE}, or the folder {_ROOT} that it unpacks to: found no image "
        f"with a mask in {place}. Hint: it is at {HOMEPAGE}."
      )
    if classes is None:
      raise InputError(
        f"{place} must hold {CLASSES_FILE}, which names the classes: it is not there. Hint: "
        f"{ARCHIVE} has it beside the folders of images and annotations."
      )
    self.class_names = read_class_names(classes())
    ids = {value: value - 1 for value in range(1, len(self.class_names) + 1)}
    self._table = ClassTable(self.class_names, {0: IGNORED, **ids})

  def check_count(self, *, partial: bool) -> None:
    """Raises `InputError` unless there are as many pairs and classes as published.

    Args:
      partial: whether others are meant.
    """
    if partial:
      return
    for split, expected in NUM_IMAGES.items():
      if len(self.pairs[split]) != expected:
        raise InputError(
          f"`archives` must hold {expected:,} images with masks of {split}: got "
          f"{len(self.pairs[split]):,} in {self._place}. Hint: download {ARCHIVE} of {HOMEPAGE} "
          "again, or say --partial where fewer are meant."
        )
    if len(self.class_names) != NUM_CLASSES:
      raise InputError(
        f"{CLASSES_FILE} must name {NUM_CLASSES} classes: got {len(self.class_names)} in "
        f"{self._place}."
      )

  def read(self, split: str, name: str) -> tuple[bytes, np.ndarray]:
    """Reads an image, as it is, and the class of each pixel or 255, uint8 [H, W].

    Args:
      split: name of the split.
      name: name of the pair.

    Raises:
      UndecodableImageError: if one of the two cannot be read or decoded, they differ in size, or a
        value is no class.
    """
    image, mask = (self._content(kind, split, name) for kind in _KINDS)
    return image, self._table.look_up(read_pair(image, mask))

  def _content(self, kind: str, split: str, name: str) -> bytes:
    try:
      return self._readers[kind, split, name]()
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
      raise UndecodableImageError(f"{name}{_KINDS[kind]} cannot be read: {error}") from error

  def _unpacked(self, place: pathlib.Path) -> list[tuple[str, _Reader]]:
    """Lists the files of the folder that an archive unpacks to, or of one that holds that."""
    root = place / _ROOT if (place / _ROOT).is_dir() else place
    if not (root / "images").is_dir():  # not all files that somebody has
      return []
    unused: dict[pathlib.Path, str] = {}
    files = list(walk(root, (), unused))
    self.left_out += [(os.path.relpath(path, root), reason) for path, reason in unused.items()]
    return [(file.relative_to(root).as_posix(), file.read_bytes) for file in files]

  def _paired(self) -> dict[str, list[str]]:
    """Returns the pairs of each split; files without a partner are left out."""
    pairs: dict[str, list[str]] = {}
    for folder, split in _FOLDERS.items():
      images, masks = (
        {n for k, s, n in self._readers if (k, s) == (kind, split)} for kind in _KINDS
      )
      pairs[split] = sorted(images & masks)
      for kind, names, reason in (
        ("images", images - masks, "an image without a mask"),
        ("annotations", masks - images, "a mask without an image"),
      ):
        self.left_out += [
          (f"{kind}/{folder}/{name}{_KINDS[kind]}", reason) for name in sorted(names)
        ]
    return pairs


def read_class_names(content: bytes) -> list[str]:
  """Reads the names of the classes, in the order of their numbers.

  Args:
    content: content of `objectInfo150.txt`: a line of headings, and for each class its number,
      counted from 1, its share of the pixels, its images in both splits, whether it is stuff, and
      its name, which may have commas.

  Raises:
    InputError: if a line is another.
  """
  names: list[str] = []
  for number, line in enumerate(content.decode("utf-8-sig", "replace").splitlines()):
    fields = line.split(None, 5)
    if number == 0 or not fields:
      continue
    if len(fields) != 6 or fields[0] != str(len(names) + 1):
      raise InputError(
        f"{CLASSES_FILE}, line {number + 1}: expected the number {len(names) + 1}, four more and a "
        f"name, got {line!r}."
      )
    names.append(" ".join(fields[5].split()))
  if not 0 < len(names) <= IGNORED or len(set(names)) != len(names):
    raise InputError(f"{CLASSES_FILE} must have 1 to {IGNORED} different names: got {len(names)}.")
  return names


def _key(match: re.Match[str]) -> tuple[str, str, str]:
  return match["kind"], _FOLDERS[match["folder"]], pathlib.PurePosixPath(match["name"]).stem


def _members(archive: pathlib.Path) -> list[tuple[str, _Reader]]:
  """Lists the files of a zip archive, which stays open."""
  try:
    file = zipfile.ZipFile(archive)
  except (zipfile.BadZipFile, OSError) as error:
    raise InputError(
      f"{archive} must be a whole zip archive: {error}. Hint: download it again."
    ) from error
  return [
    (info.filename, functools.partial(file.read, info))
    for info in file.infolist()
    if not info.is_dir()
  ]
