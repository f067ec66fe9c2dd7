"""This module lets one build of a dataset run at a time, and removes what others left."""

import contextlib
import os
import time
from collections.abc import Iterator

from etils import epath

from hornet_jax.errors import InputError
from hornet_jax.lock import Lock, locked
from hornet_jax.paths import modified

_RECENT = 600  # seconds; a build writes more often


@contextlib.contextmanager
def building(folder: epath.Path, *, wait: bool = False) -> Iterator[Lock]:
  """Holds a dataset's folder against other builds.

  Args:
    folder: folder of the dataset, with all its versions.
    wait: whether to wait for another build instead of being refused.

  Yields:
    The lock; the process that builds has to keep the lock's files open.

  Raises:
    InputError: if another process builds in it, or it cannot be written.
  """
  with locked(folder / "building.lock", f"the dataset in {folder}", wait=wait) as lock:
    yield lock


def remove_incomplete(folder: epath.Path, *, held: bool) -> list[str]:
  """Deletes the folders of interrupted builds, which TFDS cannot go on with.

  Args:
    folder: folder of the dataset.
    held: whether a lock is held, so that nobody builds in them.

  Returns:
    The paths of the deleted folders.

  Raises:
    InputError: if, without a lock, one of them was written to a short time ago.
  """
  found = sorted(folder.glob("*incomplete*")) if folder.exists() else []
  for path in found:
    files = [file for file in path.iterdir() if file.is_file()]
    age = time.time() - max((modified(file) for file in files), default=0)
    if not held and age < _RECENT:
      raise InputError(
        f"{path} must not be in use: it was written to {age:.0f} seconds ago. Hint: wait for the "
        f"build, or where there is none, {_RECENT // 60} minutes."
      )
  for path in found:
    path.rmtree()
  return [os.fspath(path) for path in found]
