"""What is to be known of every example of a split is read once, and kept beside its files."""

import contextlib
import io
import urllib.parse
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from etils import epath
from jax.typing import DTypeLike
from tqdm import tqdm

from hornet_jax.data.datasets import Split
from hornet_jax.data.part import Part
from hornet_jax.data.threads import thread_pool
from hornet_jax.errors import StorageError
from hornet_jax.files import retried, write_file

_THREADS = 8


def read_once(
  split: Split,
  what: str,
  read: Callable[[Mapping[str, Any]], int | tuple[int, ...]],
  dtype: DTypeLike,
) -> np.ndarray:
  """Reads a number of every example, [N], or a few numbers of it, [N, n].

  The first time the whole split is read; the numbers are then kept beside its files, where these
  can be written. A kept file that is damaged or of other numbers is written anew. Of a part of a
  split, see `Part`, the whole is read.

  Args:
    split: split to read.
    what: name of the numbers, such as `"labels"`, which is that of their file too.
    read: function from an example as stored to its number, or to a tuple of them.
    dtype: type of what it gives, such as `np.dtype((np.int32, 2))` for two numbers.
  """
  if isinstance(split.source, Part):
    return read_once(split.source.whole, what, read, dtype)[split.source.indices]
  file = _kept(split, what)
  if file is not None and retried(f"looking for {file}", file.exists):
    numbers = _loaded(retried(f"reading {file}", file.read_bytes))
    wanted = np.dtype(dtype)
    shape = (len(split.source), *wanted.shape)
    if numbers is not None and (numbers.shape, numbers.dtype) == (shape, wanted.base):
      return numbers

  count = len(split.source)
  with thread_pool(_THREADS) as pool:
    found = pool.imap(lambda index: read(split.source[index]), range(count), chunksize=64)
    numbers = np.fromiter(
      tqdm(found, f"reading {what}", count, unit="image", disable=None), dtype, count
    )
  if file is not None:
    content = io.BytesIO()
    np.save(content, numbers)
    # The folder may be one that only others write to.
    with contextlib.suppress(OSError, StorageError):
      write_file(file, content.getvalue())
  return numbers


def _loaded(content: bytes) -> np.ndarray | None:
  """Reads an array from the content of a file; None where it is damaged."""
  try:
    return np.asarray(np.load(io.BytesIO(content)))
  except (ValueError, EOFError, zipfile.BadZipFile):
    return None


def _kept(split: Split, what: str) -> epath.Path | None:
  if not split.files:
    return None
  name = split.name.rpartition("/")[2]
  return epath.Path(split.files[0]).parent / f"{what}_{urllib.parse.quote(name, safe='')}.npy"
