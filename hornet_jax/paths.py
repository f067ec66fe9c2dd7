"""Paths on disks and in object stores."""

import os

from etils import epath


def in_object_store(path: epath.PathLike) -> bool:
  """Whether it names a place such as `gs://BUCKET/RUN` instead of a file system."""
  return "://" in os.fspath(path)


def absolute(path: epath.PathLike) -> epath.Path:
  """The path, on a file system from its root on.

  `resolve` of etils takes `gs://BUCKET` for a folder in the current one.
  """
  path = epath.Path(path)
  return path if in_object_store(path) else path.resolve()
