"""Where the images are that files of annotations name: in folders, or in a zip archive."""

import functools
import os
import pathlib
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence

from hornet_jax.data.pixels.decode import UndecodableImageError
from hornet_jax.data.preparing.archive_members import OUTSIDE, leads_outside
from hornet_jax.data.preparing.coco.coco_values import BrokenEntryError
from hornet_jax.data.preparing.folder import walk
from hornet_jax.errors import InputError

Place = tuple[str, str]
"""The path of an archive and a member's name, or nothing and the path of a file."""

_OPENING = threading.Lock()


class ImagePlaces:
  """`ImagePlaces` finds images by the names that a file of annotations gives them.

  Attributes:
    roots: folders, or one zip archive, in which names are looked up, in this order.
  """

  def __init__(self, roots: Sequence[pathlib.Path], prefix: str = ""):
    """Opens the places.

    Args:
      roots: folders, or one zip archive.
      prefix: folder in the archive that names begin in, with a slash at its end.

    Raises:
      InputError: if one is neither a folder nor a whole zip archive.
    """
    self.roots = list(roots)
    self._prefix = prefix
    self._archive = next((root for root in self.roots if root.is_file()), None)
    for root in self.roots:
      if not root.exists():
        raise InputError(f"there must be a folder of images: {root} is none.")
    self._members = set(_opened(os.fspath(self._archive)).namelist()) if self._archive else set()

  def find(self, name: str) -> Place:
    """Finds an image.

    Args:
      name: name in a file of annotations, which may have folders; backslashes part them too, as
        programs on Windows write them, unless there is a file of just that name.

    Raises:
      BrokenEntryError: if it is not there, or leads outside.
    """
    for spelt in dict.fromkeys((name, name.replace("\\", "/"))):
      if leads_outside(spelt):
        raise BrokenEntryError(OUTSIDE)
      if place := self._find(spelt):
        return place
    raise BrokenEntryError(f"no such image in {' or '.join(map(str, self.roots))}")

  def _find(self, name: str) -> Place | None:
    if self._archive:
      member = self._prefix + name
      return (os.fspath(self._archive), member) if member in self._members else None
    for root in self.roots:
      try:
        if (root / name).is_file():
          return "", os.fspath(root / name)
      except (OSError, ValueError):  # such as a name that is too long, or with a zero byte
        return None
    return None

  def every(self) -> Iterator[Place]:
    """Yields every file of the first root, hidden ones left out."""
    if self._archive:
      names = sorted(name for name in self._members if name.startswith(self._prefix))
      yield from ((os.fspath(self._archive), name) for name in names if not name.endswith("/"))
    elif self.roots:
      yield from (("", os.fspath(file)) for file in walk(self.roots[0], (), {}))


def read_place(place: Place) -> bytes:
  """Reads an image.

  Args:
    place: place that `find` gave.

  Raises:
    UndecodableImageError: if it cannot be read.
  """
  archive, name = place
  try:
    return _opened(archive).read(name) if archive else pathlib.Path(name).read_bytes()
  except (OSError, zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
    raise UndecodableImageError(f"it cannot be read: {error}") from error


def told_place(place: Place) -> str:
  """Writes a place for messages."""
  return f"{place[0]}:{place[1]}" if place[0] else place[1]


def _opened(archive: str) -> zipfile.ZipFile:
  with _OPENING:
    return _open(archive)


@functools.cache
def _open(archive: str) -> zipfile.ZipFile:
  """Opens an archive once; it is read by many threads and stays open."""
  try:
    return zipfile.ZipFile(archive)
  except (zipfile.BadZipFile, OSError) as error:
    raise InputError(
      f"{archive} must be a whole zip archive: {error}. Hint: download it again."
    ) from error
