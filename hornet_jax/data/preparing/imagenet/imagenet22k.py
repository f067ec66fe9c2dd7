"""This module reads ImageNet-22K out of its archives image by image, and extracts none to disk.

The archives are a folder of one tar a synset (`n01440764.tar`), or one tar of everything, such
as `winter21_whole.tar.gz`, of such tars or of folders of images. Each is read on its own, so
that many machines can read a folder of them; their `Report`s add up.
"""

import collections
import contextlib
import dataclasses
import hashlib
import itertools
import pathlib
import tarfile
from collections.abc import Callable, Iterable, Iterator, Set

from etils import epath

from hornet_jax.data.pixels.decode import UndecodableImageError, decode_pixels
from hornet_jax.data.preparing.archive_members import OUTSIDE, tar_reader
from hornet_jax.data.preparing.imagenet.synsets import is_synset
from hornet_jax.data.preparing.left_out import escaped
from hornet_jax.data.threads import thread_pool
from hornet_jax.errors import InputError
from hornet_jax.wording import counted

BUILDS = {
  "fall11": "as released in the fall of 2011",
  "winter21": "as released in the winter of 2021",
  "processed": "the classes with many images, arXiv 2104.10972",
}
"""The releases, and what each of them is."""

_THREADS = 4
_CHUNK = 256  # images that are in memory at once
_DIGEST = 16  # bytes: among 14 million, two alike have a chance of 1e-25


@dataclasses.dataclass(frozen=True)
class ArchivedImage:
  """An `ArchivedImage` is one image of an archive.

  Attributes:
    synset: WordNet id of its class.
    name: name of the file, such as `n01440764_10026.JPEG`.
    content: encoded bytes.
  """

  synset: str
  name: str
  content: bytes


@dataclasses.dataclass
class Report:
  """A `Report` tells what became of the files of an archive.

  Attributes:
    left_out: name in the archives of each file that is not used, and the reason.
    used: synset -> number of images used.
    unwanted: synset that is not among the classes -> number of files.
  """

  left_out: list[tuple[str, str]] = dataclasses.field(default_factory=list)
  used: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
  unwanted: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)


def find_archives(path: epath.Path, on_beam: bool = False) -> list[epath.Path]:
  """Finds the tars, sorted.

  Args:
    path: path of a folder of one tar a synset, or of one tar of everything; local, or a bucket's.
    on_beam: whether many processes are to read them.

  Raises:
    InputError: if there are none, they are not named after synsets, or there is but one for
      many processes.
  """
  if path.is_file() and on_beam:
    raise InputError(
      "`archives` must be a folder of one tar a synset for Apache Beam: expected such as "
      f"n01440764.tar in it, got the one file {path}, which only one process can read, from its "
      "start. Hint: leave --beam_options out."
    )
  if path.is_file():
    return [path]
  found = sorted(path.glob("*.tar")) if path.is_dir() else []
  others = [archive.name for archive in found if not _synset_of(archive)]
  if others or not found:
    raise InputError(
      "`archives` must be a folder of one tar a synset, such as n01440764.tar, or one tar of all: "
      f"found {', '.join(others[:3]) or 'none'} at {path}."
    )
  return found


def find_synsets(archives: Iterable[epath.Path]) -> list[str]:
  """Lists the synsets that hold a file, sorted; one tar of everything is read through for that."""
  with thread_pool(_THREADS) as pool:
    return sorted(set[str]().union(*pool.map(_synsets_in, archives)))


def read_images(
  archive: epath.Path, class_names: Set[str], report: Report
) -> Iterator[ArchivedImage]:
  """Yields every image of an archive that has a class and decodes, once.

  Args:
    archive: path that `find_archives` returned.
    class_names: synsets to keep.
    report: report that what became of the files is added to.

  Raises:
    InputError: if the archive is not whole.
  """
  with _errors_named(archive), thread_pool(_THREADS) as pool:
    stream = _without_duplicates(archive, class_names, report)
    while chunk := list(itertools.islice(stream, _CHUNK)):
      for image, reason in zip(chunk, pool.map(_why_undecodable, chunk), strict=True):
        if reason is None:
          report.used[image.synset] += 1
          yield image
        else:
          report.left_out.append((f"{image.synset}/{image.name}", reason))


def add_up(reports: Iterable[Report], class_names: Set[str]) -> list[tuple[str, str]]:
  """Lists every file that is not used, and why.

  Args:
    reports: reports on all the archives, in any order.
    class_names: synsets that were kept.
  """
  total = Report()
  for report in reports:
    total.left_out += report.left_out
    total.used += report.used
    total.unwanted += report.unwanted
  for synset, count in total.unwanted.items():
    total.left_out.append((synset, f"not in the class list: {counted(count, 'file')}"))
  for synset in class_names - total.used.keys():
    total.left_out.append((synset, "without an image"))
  return total.left_out


class _Seen:
  """`_Seen` remembers names and contents that an archive has given, by synset.

  Only the synset at hand is unpacked, since archives mostly go synset by synset; the others take
  32 bytes an image, half a gigabyte for one tar of all 14 million.
  """

  def __init__(self) -> None:
    self._packed: dict[str, bytes] = {}
    self._synset = ""
    self._digests: set[bytes] = set()

  def is_new(self, synset: str, name: str, content: bytes) -> bool:
    """Returns whether name and content are new to the synset, and remembers them."""
    if synset != self._synset:
      self._packed[self._synset] = b"".join(self._digests)
      packed = self._packed.pop(synset, b"")
      self._digests = {packed[i : i + _DIGEST] for i in range(0, len(packed), _DIGEST)}
      self._synset = synset
    digests = {
      hashlib.blake2b(data, digest_size=_DIGEST, person=kind).digest()
      for kind, data in ((b"name", name.encode()), (b"content", content))
    }
    if digests & self._digests:
      return False
    self._digests |= digests
    return True


def _without_duplicates(
  archive: epath.Path, class_names: Set[str], report: Report
) -> Iterator[ArchivedImage]:
  seen = _Seen()
  for synset, name, read in _members(archive, report):
    if synset not in class_names:
      report.unwanted[synset] += 1
      continue
    content = read()
    if seen.is_new(synset, name, content):
      yield ArchivedImage(synset, name, content)
    else:
      report.left_out.append((f"{synset}/{name}", "a duplicate, by name or by content"))


def _members(archive: epath.Path, report: Report) -> Iterator[tuple[str, str, Callable[[], bytes]]]:
  """Yields synset, file name and reader of every regular file; it must be read at once or never."""
  # A stream: compressed archives do not seek.
  with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r|*") as tar:
    yield from _walk(tar, archive.name, _synset_of(archive), report)


@contextlib.contextmanager
def _errors_named(archive: epath.Path) -> Iterator[None]:
  try:
    yield
  except (tarfile.TarError, EOFError, OSError) as error:
    raise InputError(
      f"{archive} must be a whole tar archive: {error}. Hint: download it again."
    ) from error


def _walk(
  tar: tarfile.TarFile, archive: str, synset: str, report: Report
) -> Iterator[tuple[str, str, Callable[[], bytes]]]:
  empty = True
  for member in tar:
    if member.isdir():
      continue
    name = escaped(member.name)
    path, where = pathlib.PurePosixPath(name), f"{archive}/{name}"
    read = tar_reader(tar, member)
    if read is None:
      report.left_out.append((where, OUTSIDE))
      continue
    if path.suffix == ".tar" and not synset:
      with tarfile.open(fileobj=tar.extractfile(member), mode="r|") as inner:
        yield from _walk(inner, where, path.stem, report)
      continue
    of = synset or path.parent.name
    if not is_synset(of):
      report.left_out.append((where, "not in a synset"))
      continue
    empty = False
    yield of, path.name, read
  if synset and empty:
    report.left_out.append((archive, "an archive without an image"))


def _synset_of(archive: epath.Path) -> str:
  """Returns the synset that a tar is named after, or an empty text."""
  return archive.stem if is_synset(archive.stem) else ""


def _synsets_in(archive: epath.Path) -> set[str]:
  members = _members(archive, Report())
  if _synset_of(archive):
    members = itertools.islice(members, 1)  # the others are of the same
  with _errors_named(archive):
    return {synset for synset, _, _ in members}


def _why_undecodable(image: ArchivedImage) -> str | None:
  try:
    decode_pixels(image.content)
  except UndecodableImageError as error:
    return str(error)
  return None
