"""This module writes the records of a run as TensorBoard's event files."""

import socket
import struct
import time
from collections.abc import Sequence

from etils import epath
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import masked_crc32c

from hornet_jax.paths import in_object_store
from hornet_jax.runs.growing_file import GrowingFile
from hornet_jax.runs.records import SEGMENT, Record, common_length


class EventFiles:
  """`EventFiles` keeps TensorBoard's files up to date with the records of a run.

  Each start begins a file, and tells TensorBoard to forget later steps of those before. The events
  are those of tensorboardX; its writer is not used, as it hangs once its thread has met an error.
  """

  def __init__(self, folder: epath.Path, records: Sequence[Record]):
    """Begins without writing anything.

    Args:
      folder: folder for the files.
      records: records of earlier starts, which are kept.
    """
    self._folder = folder
    self._saved = list(records)
    self._file: GrowingFile | None = None

  def save(self, records: Sequence[Record]) -> None:
    """Adds those records that are not there yet, and forgets those that are gone.

    Raises:
      OSError, InputError: if they cannot be written; the same may be tried again.
    """
    kept = common_length(self._saved, records)
    if kept == len(records):
      return  # what is gone is forgotten once there is something in its place
    if kept < len(self._saved) or self._is_full():
      self._file = None
    data = b"".join(_scalars(record) for record in records[kept:])
    if self._file is None:
      last_kept = records[kept - 1]["step"] if kept else -1
      data = _beginning(int(last_kept) + 1) + data
    file = self._file or self._another()
    file.append(data)
    self._file = file
    self._saved = list(records)

  def _is_full(self) -> bool:
    in_store = in_object_store(self._folder)
    return self._file is not None and in_store and self._file.length >= SEGMENT

  def _another(self) -> GrowingFile:
    # TensorBoard reads them in the order of their names.
    unique = f"{int(time.time())}.{socket.gethostname()}.{time.time_ns()}"
    return GrowingFile(self._folder / f"events.out.tfevents.{unique}")


def _beginning(first_step: int) -> bytes:
  version = Event(wall_time=time.time(), file_version="brain.Event:2")
  start = SessionLog(status=SessionLog.START)
  return _framed(version) + _framed(
    Event(wall_time=time.time(), step=first_step, session_log=start)
  )


def _scalars(record: Record) -> bytes:
  values = [
    Summary.Value(tag=name, simple_value=value)
    for name, value in record.items()
    if name not in ("step", "seconds")
  ]
  return _framed(
    Event(wall_time=time.time(), step=int(record["step"]), summary=Summary(value=values))
  )


def _framed(event: Event) -> bytes:
  """Frames an event by its length and checksums, as TFRecord does."""
  data = event.SerializeToString()
  length = struct.pack("<Q", len(data))
  return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
  return struct.pack("<I", masked_crc32c(data))
