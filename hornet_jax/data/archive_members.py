"""Members of archives from elsewhere: which may be read, and how."""

import functools
import pathlib
import tarfile
from collections.abc import Callable

OUTSIDE = "a name that leads outside, or no regular file"
"""Why a member is not read."""


def leads_outside(name: str) -> bool:
  """Whether a member would lie outside of the folder that its archive is unpacked in."""
  path = pathlib.PurePosixPath(name)
  return path.is_absolute() or ".." in path.parts


def tar_reader(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Callable[[], bytes] | None:
  """Reads a member of a tar, at once or never where that is a stream; None where none may."""
  if leads_outside(member.name) or not member.isreg():
    return None
  return functools.partial(_read, tar, member)


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
  file = tar.extractfile(member)
  assert file, "a regular file"
  return file.read()
