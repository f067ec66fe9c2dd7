"""This module reads files, and writes them whole or not at all, on disks and in object stores.

An operation that fails for a while, such as by a lost connection, is tried again with growing
pauses and ends as `StorageError`: starting the command again mends it. A failure that a person must
mend, such as missing rights, is an `InputError` at once.
"""

import errno
import logging
import time
from collections.abc import Callable
from typing import TypeVar

from etils import epath

from hornet_jax.errors import FullDiskError, InputError, StorageError
from hornet_jax.paths import in_object_store

_logger = logging.getLogger(__name__)

PAUSES = (0.5, 2.0, 8.0)
"""Seconds before each further try."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_TEXT = ("ENOSPC", "No space left on device", "EDQUOT", "quota exceeded")
# What the same call meets again until a person acts.
_LASTING = (
  *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR),
  *(errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EFBIG),
)
_TRANSIENT = (
  *(errno.EIO, errno.EAGAIN, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT, errno.EREMOTEIO),
  *(errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED, errno.EPIPE, errno.ENETRESET),
  *(errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENOTCONN),
)
# Of clients of object stores, whose errors have no errno and no common class.
_TRANSIENT_TEXT = (
  *("UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "Connection reset", "Connection refused"),
  *("Connection timed out", "timed out", "Temporary failure", "Too Many Requests", "rateLimit"),
  *("Service Unavailable", "Bad Gateway", "Gateway Timeout", "Internal Server Error"),
  *("Input/output error", "Stale file handle", "Server disconnected"),
)
_T = TypeVar("_T")


def retried(what: str, act: Callable[[], _T]) -> _T:
  """Returns the result of `act`, which is tried again where the storage fails for a while.

  Args:
    what: description of `act` for messages, such as `"reading metrics.jsonl"`.
    act: function that reads or writes a disk or a store; it must bear repetition.

  Raises:
    StorageError: if every try failed in a way that may pass; `FullDiskError` for lack of space.
    OSError: if `act` failed in a way that does not pass; like every other error of `act`, it
      comes unchanged.
  """
  for pause in (*PAUSES, None):
    try:
      return act()
    except Exception as error:
      if isinstance(error, StorageError):
        raise
      if is_full_disk(error):
        raise FullDiskError(f"{what} failed: the disk is full. Hint: make room.") from error
      if not is_transient(error):
        raise
      if pause is None:
        raise StorageError(
          f"{what} failed {len(PAUSES) + 1} times: {_one_line(error)}. Hint: start the same again "
          "once the storage answers."
        ) from error
      _logger.warning("%s failed, again in %g s: %s", what, pause, _one_line(error))
      time.sleep(pause)
  raise AssertionError("the last try returns or raises")


def make_folder(path: epath.Path) -> None:
  """Makes a folder and those above it.

  Raises:
    InputError: if it cannot be made.
    StorageError: if the storage fails.
  """
  try:
    retried(f"making {path}", lambda: path.mkdir(parents=True, exist_ok=True))
  except StorageError:
    raise
  except OSError as error:
    raise InputError(f"{path} must be a folder that can be written: {error}.") from error


def write_file(path: epath.Path, content: str | bytes) -> None:
  """Writes a whole file; if the process is killed meanwhile, the previous file stays.

  On a disk the file is written under another name first and then renamed. In a store it is written
  in place: objects appear there only once they are whole, and a rename would be a copy.

  Args:
    path: path of the file.
    content: bytes, or text to be written as UTF-8.

  Raises:
    InputError: if the file cannot be written.
    StorageError: if the storage fails; `FullDiskError` for lack of space.
  """
  partial = path.with_name(f"{path.name}.partial")
  data = content.encode() if isinstance(content, str) else content

  def write() -> None:
    if in_object_store(path):
      path.write_bytes(data)
    else:
      partial.write_bytes(data)
      partial.replace(path)

  try:
    retried(f"writing {path}", write)
  except FullDiskError as error:
    partial.unlink(missing_ok=True)
    raise FullDiskError(
      f"{path} cannot be written: the disk is full. Hint: make room, then start the same again."
    ) from error
  except StorageError:
    raise
  except OSError as error:
    raise InputError(f"{path} must be a file that can be written: {error}.") from error


def unreadable(path: epath.Path, error: OSError) -> InputError:
  """Returns the error of a file or folder that exists and that this user cannot read."""
  return InputError(
    f"{path} must be readable: {error.strerror or error}. Hint: see to its rights and its owner."
  )


def exists(path: epath.Path) -> bool:
  """Returns whether a file or a folder exists.

  Raises:
    StorageError: if the storage fails, so that it is not known.
  """
  return retried(f"reading {path}", path.exists)


def read_file(path: epath.Path) -> str:
  """Reads the text of a file.

  Raises:
    OSError: if it cannot be read; `StorageError` if the storage fails.
  """
  return retried(f"reading {path}", path.read_text)


def is_full_disk(error: BaseException) -> bool:
  """Returns whether an error, or one that caused it, is a lack of space."""
  for cause in _causes(error):
    if isinstance(cause, FullDiskError) or getattr(cause, "errno", None) in _FULL:
      return True
    if any(text in str(cause) for text in _FULL_TEXT):  # of libraries without an errno
      return True
  return False


def is_transient(error: BaseException) -> bool:
  """Returns whether an error, or one that caused it, is a fault of storage that may pass."""
  for cause in _causes(error):
    if isinstance(cause, ConnectionError | TimeoutError):
      return True
    number = getattr(cause, "errno", None)
    if number in _TRANSIENT:
      return True
    if number not in _LASTING and any(text in str(cause) for text in _TRANSIENT_TEXT):
      return True
  return False


def _causes(error: BaseException) -> list[BaseException]:
  """Returns an error and all errors that caused it."""
  chain = [error]
  while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause not in chain:
    chain.append(cause)
  return chain


def _one_line(error: BaseException) -> str:
  return " ".join(str(error).split())[:200] or type(error).__name__
