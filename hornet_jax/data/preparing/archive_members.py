"""This module decides which members of archives from elsewhere may be read, and reads them."""

import functools
import pathlib
import tarfile
from collections.abc import Callable

OUTSIDE = "a name that leads outside, or no regular file"
"""Why a member is not read."""


def leads_outside(name: str) -> bool:
  """Returns whether a member would lie outside of the folder that its archive is unpacked in."""
  path = pathlib.PurePosixPath(name)
  return path.is_absolute() or ".." in path.parts


def tar_reader(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Callable[[], bytes] | None:
  """Returns a function that reads a member; None where it must not be read.

  Where the tar is a stream, the function must be called before the next member is asked for.
  """
  if leads_outside(member.name) or not member.isreg():
    return None
  return functools.partial(_read, tar, member)


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
  file = tar.extractfile(member)
  assert file, "a regular file"
  return file.read()
