"""Paths on disks and in object stores."""

import os

from etils import epath


def in_object_store(path: str | os.PathLike[str]) -> bool:
  """Whether it names a place such as `gs://BUCKET/RUN` instead of a file system."""
  return "://" in os.fspath(path)


def absolute(path: epath.Path) -> epath.Path:
  """The path, on a file system from its root on.

  `resolve` of etils takes `gs://BUCKET` for a folder in the current one.
  """
  return path if in_object_store(path) else path.resolve()
