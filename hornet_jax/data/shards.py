"""This module holds the files of a prepared split against its description."""

import os
from collections.abc import Sequence

from etils import epath

from hornet_jax.errors import InputError
from hornet_jax.files import retried
from hornet_jax.paths import file_size, in_object_store

_LEAST = 64 * 1024  # bytes; ArrayRecord pads its blocks to these
_AS_IT_WAS = "Hint: copy the file again, or delete the dataset's folder and prepare it anew."


def check_shards(name: str, files: Sequence[str]) -> None:
  """Raises `InputError` where files that dataset_info.json lists are missing or too short.

  Args:
    name: name of the split for messages, such as `digits/train`.
    files: paths of the split's files, all in one folder.
  """
  folder = epath.Path(files[0]).parent
  there = {path.name for path in retried(f"listing {folder}", lambda: list(folder.iterdir()))}
  missing = [file for file in files if os.path.basename(file) not in there]
  if missing:
    raise InputError(
      f"{name} must have every file of its dataset_info.json: missing {len(missing)} of "
      f"{len(files)}, such as {missing[0]}. {_AS_IT_WAS}"
    )
  for file in files:
    if not in_object_store(file) and file_size(file) < _LEAST:
      raise InputError(
        f"{name} must have whole files: {file} has {file_size(file):,} bytes, fewer than any "
        f"ArrayRecord file. {_AS_IT_WAS}"
      )


def damaged(name: str, files: Sequence[str], error: Exception) -> InputError:
  """Makes the error that says which file of a split cannot be read.

  Args:
    name: name of the split for messages.
    files: paths of the split's files.
    error: what reading raised.
  """
  broken = next((file for file in files if not _opens(file)), f"one of the {len(files)} files")
  reason = " ".join(str(error).split())
  return InputError(
    f"{name} must have whole files: {broken} cannot be read: {reason}. {_AS_IT_WAS}"
  )


def _opens(file: str) -> bool:
  """Returns whether the reader accepts a file; damage between its ends may escape it."""
  from array_record.python.array_record_module import ArrayRecordReader

  try:
    reader = ArrayRecordReader(file)
    reader.close()
  except RuntimeError:
    return False
  return True
