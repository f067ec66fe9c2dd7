"""This module treats paths on disks and in object stores, also for users without name or home."""

import contextlib
import importlib.util
import os
import pathlib
import re
import stat
import tempfile

from etils import epath

from hornet_jax.errors import InputError

# Orbax looks for its files by a pattern that the path is a part of (`*?[]`), and TensorStore, which
# reads and writes them, takes a backslash for a slash.
_NOT_FOR_CHECKPOINTS = "*?[]\\"
# Scheme -> package that etils reaches the store by; TensorFlow, where it is installed, knows the
# first two.
_CLIENTS = {"gs": "gcsfs", "s3": "s3fs"}


def in_object_store(path: epath.PathLike) -> bool:
  """Returns whether a path leads to an object store, as `gs://BUCKET/RUN` does."""
  return "://" in os.fspath(path)


def check_reachable(path: epath.PathLike) -> None:
  """Raises `InputError` where a path is in an object store and nothing installed can go there."""
  if re.match(r"\w+:/(?!/)", os.fspath(path)):
    raise InputError(
      f"{os.fspath(path)} must name a store by two slashes: expected such as gs://BUCKET/RUN."
    )
  if not in_object_store(path):
    return
  scheme = os.fspath(path).partition("://")[0]
  if scheme not in _CLIENTS:
    raise InputError(
      f"{path} must be in a store that is known: expected {', '.join(sorted(_CLIENTS))} or a path "
      f"on a disk, got {scheme}."
    )
  package = _CLIENTS[scheme]
  if not any(importlib.util.find_spec(name) for name in (package, "tensorflow")):
    extra = " Hint: pip install 'hornet_jax[gcs]'." if scheme == "gs" else ""
    raise InputError(f"{path} must be reachable: {package} is not installed.{extra}")


def absolute(path: epath.PathLike) -> epath.Path:
  """Returns a path from the root of its file system on; one in an object store stays as it is.

  The `resolve` of etils is no help: it takes `gs://BUCKET` for a folder in the current one.
  """
  path = epath.Path(path)
  return path if in_object_store(path) else path.resolve()


def check_holds_checkpoints(path: epath.PathLike) -> None:
  """Raises `InputError` where checkpoints in a folder could be written and never be read.

  Args:
    path: path of the folder; it need not exist.
  """
  name = os.fspath(absolute(path))
  found = sorted(set(name) & set(_NOT_FOR_CHECKPOINTS))
  if found:
    raise InputError(
      f"`workdir` must be a path without any of {' '.join(_NOT_FOR_CHECKPOINTS)}: got "
      f"{' '.join(found)} in {name}. Hint: these are read as a pattern where checkpoints lie; "
      "choose another name."
    )
  try:
    name.encode()
  except UnicodeEncodeError as error:
    raise InputError(
      f"`workdir` must be a path in UTF-8: got {name.encode(errors='surrogateescape')!r}. Hint: "
      "choose another name."
    ) from error


def file_size(path: epath.PathLike) -> int:
  """Returns the number of bytes in a file.

  `stat` of etils asks for the owner's name as well, and fails where he has none, as in a container
  that was started with the number of a user.
  """
  return epath.Path(path).stat().length if in_object_store(path) else os.stat(path).st_size


def modified(path: epath.PathLike) -> float:
  """Returns when a file was last written, in seconds since 1970; see `file_size`."""
  return epath.Path(path).stat().mtime if in_object_store(path) else os.stat(path).st_mtime


def expanded(path: epath.PathLike, setting: str) -> epath.Path:
  """Returns a path with the home folder in place of a leading `~`.

  Args:
    path: local path, or one in a store.
    setting: names of the settings that can give another path, for the message.

  Raises:
    InputError: if the user has no home.
  """
  result = os.path.expanduser(os.fspath(path))
  if result.startswith("~"):
    raise InputError(
      f"{setting} must name a folder without `~` here: got {os.fspath(path)}, and user "
      f"{os.getuid()} has no home. Hint: give a whole path, or set HOME."
    )
  return epath.Path(result)


def has_home() -> bool:
  """Returns whether this user has a home folder and can write to it."""
  home = os.path.expanduser("~")  # unchanged where nothing is known
  return home != "~" and os.access(home, os.W_OK)


def cache_folder() -> pathlib.Path:
  """Returns the folder for files that can be made again, and makes it where it is missing.

  It is `hornet_jax` in $XDG_CACHE_HOME, or else in ~/.cache. Where that cannot be written, or there
  is no home, it is one of this user's own in the temporary folder.
  """
  base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
  folder = pathlib.Path(base) / "hornet_jax"
  if not base.startswith("~"):
    try:
      folder.mkdir(parents=True, exist_ok=True)
    except OSError:
      return _temporary_cache()
    if os.access(folder, os.W_OK):
      return folder
  return _temporary_cache()


def _temporary_cache() -> pathlib.Path:
  """Returns a folder that nobody else made or can write into, as programs are run from it."""
  folder = pathlib.Path(tempfile.gettempdir()) / f"hornet_jax-{os.getuid()}"
  with contextlib.suppress(FileExistsError):  # a file: the next lines see it
    folder.mkdir(mode=0o700, exist_ok=True)
  found = os.lstat(folder)
  if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022:
    return folder
  return pathlib.Path(tempfile.mkdtemp(prefix="hornet_jax-"))
