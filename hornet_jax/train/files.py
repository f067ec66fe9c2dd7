"""Files that are written whole or not at all, on disk or in an object store."""

import errno

from etils import epath

from hornet_jax.errors import FullDiskError, InputError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_TEXT = ("ENOSPC", "No space left on device", "EDQUOT", "quota exceeded")


def make_folder(path: epath.Path) -> None:
  """Makes a folder and those above it; `InputError` if that cannot be."""
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise InputError(f"{path} must be a folder that can be written: {error}.") from error


def write_file(path: epath.Path, content: str | bytes) -> None:
  """Writes a whole file, beside its place first: a kill leaves the previous one.

  Files are never appended to: object stores cannot.

  Args:
    path: of the file.
    content: text is written as UTF-8.

  Raises:
    InputError: if the file cannot be written.
    FullDiskError: if that is for lack of space.
  """
  partial = path.with_name(f"{path.name}.partial")
  try:
    partial.write_bytes(content.encode() if isinstance(content, str) else content)
    partial.replace(path)
  except OSError as error:
    if is_full_disk(error):
      partial.unlink(missing_ok=True)
      raise FullDiskError(f"{path} cannot be written: the disk is full.") from error
    raise InputError(f"{path} must be a file that can be written: {error}.") from error


def is_full_disk(error: BaseException) -> bool:
  """Whether an error goes back to a lack of space, on whichever way it came."""
  cause: BaseException | None = error
  while cause is not None:
    if isinstance(cause, FullDiskError) or getattr(cause, "errno", None) in _FULL:
      return True
    if any(text in str(cause) for text in _FULL_TEXT):  # of libraries without an errno
      return True
    cause = cause.__cause__ or cause.__context__
  return False
