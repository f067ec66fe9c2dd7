"""This module reads and writes metrics.jsonl, in an object store with older parts beside it."""

import json
import logging
import re
from collections.abc import Sequence
from typing import NamedTuple

from etils import epath

from hornet_jax.errors import StorageError
from hornet_jax.files import retried, unreadable, write_file
from hornet_jax.paths import in_object_store
from hornet_jax.runs.growing_file import GrowingFile

Record = dict[str, float | int]

NAME = "metrics.jsonl"
SEGMENT = 256 * 1024  # bytes that an object may have before the next record goes into another

_logger = logging.getLogger(__name__)


class RecordFile:
  """A `RecordFile` keeps the files of a workdir up to date with the records of its run.

  The newest records are in metrics.jsonl. On a disk that is all. Objects cannot be appended to: in
  a store metrics.jsonl is rewritten with each record, and where it is large it goes on as
  metrics-00000.jsonl, metrics-00001.jsonl and so on, oldest first.
  """

  def __init__(self, workdir: epath.Path):
    """Reads the records that are there.

    Raises:
      StorageError: if it cannot be read.
    """
    self._workdir = workdir
    stored = _read(workdir)
    self.records = [record for part in stored for record in part.records]
    *self._older, newest = stored
    self._file = GrowingFile(newest.path)
    self._whole = False  # what lies there is what was written from here
    self._saved = list(self.records)

  def save(self, records: Sequence[Record]) -> None:
    """Brings the files up to date; records that were saved before must be the same objects.

    Raises:
      OSError, InputError: if they cannot be written; the same may be tried again.
    """
    kept = common_length(self._saved, records)
    if kept < len(self._saved):
      self._drop_after(kept)
    begin = sum(len(part.records) for part in self._older)
    if in_object_store(self._workdir) and self._file.length >= SEGMENT:
      self._begin_another(begin)
      begin = kept
    if not self._whole or self._file.is_cut():
      self._file.replace(_lines(records[begin:]))
      self._whole = True
    elif len(records) > kept:
      self._file.append(_lines(records[kept:]))
    self._saved = list(records)

  def _drop_after(self, count: int) -> None:
    """Deletes all but the first records; a kill meanwhile leaves them and some of the others."""
    while self._older and sum(len(part.records) for part in self._older[:-1]) >= count:
      self._older[-1].path.unlink(missing_ok=True)
      self._older.pop()
    begin = sum(len(part.records) for part in self._older)
    split = self._older[-1] if begin > count else None
    if split:
      begin -= len(split.records)
    self._file.replace(_lines(self._saved[begin:count]))
    if split:  # metrics.jsonl begins as it does, see `_read`
      split.path.unlink(missing_ok=True)
      self._older.pop()
    self._whole = True
    self._saved = self._saved[:count]

  def _begin_another(self, begin: int) -> None:
    number = 1 + max((_number(part.path) for part in self._older), default=-1)
    path = self._workdir / f"metrics-{number:05d}.jsonl"
    records = self._saved[begin:]
    write_file(path, _lines(records))
    self._older.append(_Part(path, records))
    self._whole = False


class _Part(NamedTuple):
  path: epath.Path
  records: list[Record]


def read_records(workdir: epath.Path) -> list[Record]:
  """Reads the records of a run, oldest first; none where there are no files.

  Lines that are no records, such as one cut off by a kill or a full disk, are left out.

  Raises:
    StorageError: if they cannot be read.
  """
  return [record for part in _read(workdir) for record in part.records]


def common_length(saved: Sequence[Record], records: Sequence[Record]) -> int:
  """Returns how many of the first records are the same objects."""
  count = len(saved)
  if count <= len(records) and (not count or saved[-1] is records[count - 1]):
    return count  # as is usual; nothing but the end ever changes
  pairs = enumerate(zip(saved, records, strict=False))
  return next((i for i, (a, b) in pairs if a is not b), min(count, len(records)))


def _read(workdir: epath.Path) -> list[_Part]:
  """Reads the files in the order of their records, metrics.jsonl last."""
  # In this order: what is moved in between is met twice rather than never.
  newest = _read_part(workdir / NAME)
  older = [_read_part(path) for path in _older_paths(workdir)]
  # A kill while records moved from the one to the other.
  if older and newest.records[:1] == older[-1].records[:1]:
    older.pop()
  return [*older, newest]


def _older_paths(workdir: epath.Path) -> list[epath.Path]:
  paths = retried(f"reading {workdir}", lambda: list(workdir.iterdir()) if workdir.exists() else [])
  return sorted((path for path in paths if _number(path) >= 0), key=_number)


def _number(path: epath.Path) -> int:
  found = re.fullmatch(r"metrics-(\d+)\.jsonl", path.name)
  return int(found[1]) if found else -1


def _read_part(path: epath.Path) -> _Part:
  try:
    content = retried(f"reading {path}", lambda: path.read_bytes() if path.exists() else b"")
  except StorageError:
    raise
  except OSError as error:  # such as a folder: it would be written over
    raise unreadable(path, error) from error
  lines = content.split(b"\n")[:-1]  # the last is empty, or cut off
  records = [_parse(line) for line in lines]
  if None in records:
    _logger.warning("%s: %d lines are no records, and are left out", path, records.count(None))
  return _Part(path, [record for record in records if record is not None])


def _parse(line: bytes) -> Record | None:
  try:
    record = json.loads(line)
  except ValueError:
    return None
  if not isinstance(record, dict) or not {"step", "seconds"} <= record.keys():
    return None
  numbers = all(type(value) in (int, float) for value in record.values())
  return record if numbers and isinstance(record["step"], int) else None


def _lines(records: Sequence[Record]) -> bytes:
  return "".join(json.dumps(record) + "\n" for record in records).encode()
