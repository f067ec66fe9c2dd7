"""One build of a dataset at a time; what an interrupted one left is removed."""

import contextlib
import errno
import fcntl
import os
import pathlib
import socket
import time
from collections.abc import Iterator

from etils import epath

from hornet_jax.errors import InputError
from hornet_jax.paths import in_object_store

_LOCK = "building.lock"
_RECENT = 600  # seconds; a build writes more often


@contextlib.contextmanager
def locked(folder: epath.Path) -> Iterator[list[int]]:
  """Holds a dataset's folder against other builds.

  The lock is the operating system's: it ends with the last process that has the file open, however
  that ends. Object stores, and disks that have no locks, do without, see `remove_incomplete`.

  Args:
    folder: of the dataset, of all its versions.

  Yields:
    What a process that builds has to keep open.

  Raises:
    InputError: if another process builds in it.
  """
  if in_object_store(folder):
    yield []
    return
  path = pathlib.Path(folder) / _LOCK
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+")
  except OSError as error:
    raise InputError(f"{folder} must be a folder that can be written: {error}.") from error
  with file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      file.seek(0)
      raise InputError(
        f"{folder} must not be built by two at a time: {file.read() or 'another process'} is at "
        "it. Hint: wait for it, or end it."
      ) from error
    except OSError as error:
      if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
        raise
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()
    yield [file.fileno()]


def remove_incomplete(folder: epath.Path, *, held: bool) -> list[str]:
  """Deletes the folders that TFDS builds in; it cannot go on in them.

  Args:
    folder: of the dataset.
    held: whether a lock tells that nobody builds in them.

  Returns:
    Their paths.

  Raises:
    InputError: if, without a lock, one of them was written to a short time ago.
  """
  found = sorted(folder.glob("*incomplete*")) if folder.exists() else []
  for path in found:
    files = [file for file in path.iterdir() if file.is_file()]
    age = time.time() - max((file.stat().mtime for file in files), default=0)
    if not held and age < _RECENT:
      raise InputError(
        f"{path} must not be in use: it was written to {age:.0f} seconds ago. Hint: wait for the "
        f"build, or where there is none, {_RECENT // 60} minutes."
      )
  for path in found:
    path.rmtree()
  return [os.fspath(path) for path in found]
