"""This module adds to files at their end, on disks and in object stores."""

from etils import epath

from hornet_jax.files import make_folder, retried, write_file
from hornet_jax.paths import file_size, in_object_store


class GrowingFile:
  """A `GrowingFile` is a file that one process adds to.

  On a disk it is appended to; bytes of a write that failed in the middle are cut off by the next.
  Objects cannot be appended to: there each write replaces the whole, so whoever adds begins another
  file once `length` is large.

  Attributes:
    path: path of the file.
    length: number of bytes that were written.
  """

  def __init__(self, path: epath.Path):
    """Takes over a path without reading it; what lies there is cut off with the first addition."""
    self.path = path
    self.length = 0
    self._content = b""  # in a store

  def replace(self, content: bytes) -> None:
    """Writes the whole file anew; a kill leaves the one before.

    Raises:
      OSError, InputError: if it cannot be written; the file is as it was.
    """
    write_file(self.path, content)
    self._keep(content, len(content))

  def append(self, data: bytes) -> None:
    """Adds to the end.

    Raises:
      OSError, InputError: if that fails; the same may be tried again.
    """
    make_folder(self.path.parent)
    if in_object_store(self.path):
      self.replace(self._content + data)
      return
    retried(f"writing {self.path}", lambda: self._append(data))
    self._keep(b"", self.length + len(data))

  def is_cut(self) -> bool:
    """Returns whether somebody else has deleted or shortened it since."""
    if in_object_store(self.path):
      return False  # each write replaces it
    return self.length > (file_size(self.path) if self.path.exists() else 0)

  def _append(self, data: bytes) -> None:
    # Not `open` of etils, which cannot do both.
    with open(self.path, "r+b" if self.path.exists() else "wb") as file:
      file.truncate(self.length)
      file.seek(self.length)
      file.write(data)

  def _keep(self, content: bytes, length: int) -> None:
    self._content = content if in_object_store(self.path) else b""
    self.length = length
