"""ImageNet-22K out of its archives, image by image: nothing is extracted to disk.

The archives are a folder of one tar a synset (`n01440764.tar`), or one tar of everything, such
as `winter21_whole.tar.gz`, of such tars or of folders of images.
"""

import collections
import dataclasses
import hashlib
import itertools
import multiprocessing.pool
import pathlib
import re
import tarfile
from collections.abc import Iterator, Sequence
from typing import Any

from hornet_jax.data.decode import UndecodableImageError, decode_pixels
from hornet_jax.errors import InputError

BUILDS = ("fall11", "winter21", "processed")
_SYNSET = re.compile(r"n\d{8}")
_THREADS = 4
_CHUNK = 256  # images that are in memory at once


@dataclasses.dataclass(frozen=True)
class ArchivedImage:
  """One image.

  Attributes:
    synset: WordNet id of its class.
    name: of the file, such as `n01440764_10026.JPEG`.
    content: encoded.
  """

  synset: str
  name: str
  content: bytes


class Archives:
  """What the archives hold; whatever is not used is named.

  Attributes:
    path: of a folder of tars, or of one tar.
    left_out: name in the archives -> why it is not used.
  """

  def __init__(self, path: pathlib.Path):
    self.path = path
    self.left_out: dict[str, str] = {}

  def files(self) -> list[pathlib.Path]:
    """The tars; `InputError` where there is none."""
    if self.path.is_file():
      return [self.path]
    found = sorted(self.path.glob("*.tar")) if self.path.is_dir() else []
    if not found:
      raise InputError(
        f"`archives` must be a folder of one tar a synset, such as n01440764.tar, or one tar of "
        f"all: found none at {self.path}."
      )
    return found

  def synsets(self) -> list[str]:
    """Those that hold a file, sorted; reads one tar of everything once through."""
    counts = collections.Counter(synset for synset, _, _ in self._members(names_only=True))
    return sorted(counts)

  def images(self, synsets: Sequence[str]) -> Iterator[ArchivedImage]:
    """Every image of the given synsets that decodes, once."""
    wanted = set(synsets)
    seen: collections.Counter[str] = collections.Counter()
    others: collections.Counter[str] = collections.Counter()

    def candidates() -> Iterator[ArchivedImage]:
      known: set[bytes | str] = set()
      at = ""
      for synset, name, content in self._members():
        if synset not in wanted:
          others[synset] += 1
          continue
        if synset != at:
          known, at = set(), synset  # archives go synset by synset
        seen[synset] += 1
        digest = hashlib.sha256(content).digest()
        if name in known or digest in known:
          self.left_out[f"{synset}/{name}"] = "a duplicate, by name or by content"
          continue
        known |= {name, digest}
        yield ArchivedImage(synset, name, content)

    with multiprocessing.pool.ThreadPool(_THREADS) as pool:
      stream = candidates()
      while chunk := list(itertools.islice(stream, _CHUNK)):
        for image, reason in zip(chunk, pool.map(_why_undecodable, chunk), strict=True):
          if reason is None:
            yield image
          else:
            self.left_out[f"{image.synset}/{image.name}"] = reason
    for synset, count in sorted(others.items()):
      self.left_out[synset] = f"not in the class list: {count} files"
    for synset in sorted(wanted - seen.keys()):
      self.left_out[synset] = "without an image"

  def _members(self, names_only: bool = False) -> Iterator[tuple[str, str, bytes]]:
    """(synset, file name, content) of every regular file."""
    for file in self.files():
      try:
        with tarfile.open(file, "r|*") as tar:  # a stream: compressed archives do not seek
          synset = file.stem if _SYNSET.fullmatch(file.stem) else ""
          yield from self._walk(tar, file.name, synset, names_only)
      except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(
          f"{file} must be a whole tar archive: {error}. Hint: download it again."
        ) from error

  def _walk(
    self, tar: tarfile.TarFile, archive: str, synset: str, names_only: bool
  ) -> Iterator[tuple[str, str, bytes]]:
    empty = True
    for member in tar:
      where = f"{archive}/{member.name}"
      path = pathlib.PurePosixPath(member.name)
      if member.isdir():
        continue
      if path.is_absolute() or ".." in path.parts or not member.isreg():
        self.left_out[where] = "a name that leads outside, or no regular file"
        continue
      if path.suffix == ".tar" and not synset:
        with tarfile.open(fileobj=_opened(tar, member), mode="r|") as inner:
          yield from self._walk(inner, where, path.stem, names_only)
        continue
      of = synset or path.parent.name
      if not _SYNSET.fullmatch(of):
        self.left_out[where] = "not in a synset"
        continue
      empty = False
      yield of, path.name, b"" if names_only else _opened(tar, member).read()
    if synset and empty:
      self.left_out[archive] = "an archive without an image"


def _opened(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Any:
  file = tar.extractfile(member)
  assert file, "a regular file"
  return file


def _why_undecodable(image: ArchivedImage) -> str | None:
  try:
    decode_pixels(image.content)
  except UndecodableImageError as error:
    return str(error)
  return None


def read_class_list(path: pathlib.Path) -> list[str]:
  """The synsets in a text file, one a line; sorted.

  Raises:
    InputError: if it cannot be read or a line is no synset.
  """
  try:
    lines = path.read_text().split()
  except (OSError, ValueError) as error:
    raise InputError(f"`classes` must be a text file of synsets: {error}.") from error
  wrong = [line for line in lines if not _SYNSET.fullmatch(line)]
  if wrong or not lines or len(set(lines)) < len(lines):
    raise InputError(
      "`classes` must name different synsets, one a line: expected such as n01440764, got "
      f"{wrong[0] if wrong else 'none or some twice'} in {path}."
    )
  return sorted(lines)
