"""The record of a run: metrics.jsonl and TensorBoard event files."""

import json
import logging
import time
from collections.abc import Mapping

import jax
from etils import epath
from tensorboardX import SummaryWriter

from hornet_jax.errors import FullDiskError
from hornet_jax.train.files import is_full_disk, write_file

_logger = logging.getLogger(__name__)

Record = dict[str, float | int]


class MetricsLog:
  """Records of one run in its workdir, one JSON object a line, each with its `step` and the
  `seconds` that the run had taken by then, over all its starts.

  A run that resumes drops the records after the step that it resumes from: those steps
  are done again.
  """

  def __init__(self, workdir: epath.Path, start_step: int, on_full_disk: str = "stop"):
    """Opens the log to go on after `start_step` updates.

    Args:
      workdir: of the run.
      start_step: number of updates done.
      on_full_disk: "stop" raises where there is no space; "continue" warns, and the next record
        that finds space brings the missing ones along.
    """
    self.workdir = workdir
    self._path = workdir / "metrics.jsonl"
    self.records = [r for r in read_records(workdir) if r["step"] <= start_step]
    self._seconds_before = self.seconds
    self._opened = time.perf_counter()
    self._on_full_disk = on_full_disk
    self._events = workdir / "tensorboard"
    self._tensorboard: SummaryWriter | None = None
    if jax.process_index() == 0:
      self._tensorboard = self._open_events(start_step + 1)

  def _open_events(self, first_step: int) -> SummaryWriter:
    return SummaryWriter(str(self._events), purge_step=first_step)

  def write(self, step: int, values: Mapping[str, float]) -> None:
    """Adds the values of one step, durably; a step may be written more than once.

    Raises:
      FullDiskError: if there is no space for them.
    """
    seconds = self._seconds_before + time.perf_counter() - self._opened
    self.records.append({"step": step, "seconds": round(seconds, 3), **values})
    if jax.process_index() != 0:
      return
    try:
      write_file(self._path, "".join(json.dumps(record) + "\n" for record in self.records))
      self._write_events(step, values)
    except FullDiskError as error:
      if self._on_full_disk == "stop":
        raise
      _logger.warning("%s Going on, as checkpoint.on_full_disk says.", error)

  def _write_events(self, step: int, values: Mapping[str, float]) -> None:
    # A writer that met a full disk is not used again: its thread may have ended.
    writer, self._tensorboard = self._tensorboard or self._open_events(step), None
    try:
      for name, value in values.items():
        writer.add_scalar(name, value, step)
      writer.flush()
    except OSError as error:
      if is_full_disk(error):
        raise FullDiskError(f"{self._events} cannot be written: the disk is full.") from error
      raise
    self._tensorboard = writer

  def drop_after(self, step: int) -> None:
    """Forgets the records after a step, which is gone back to."""
    self.records = [record for record in self.records if record["step"] <= step]

  @property
  def seconds(self) -> float:
    """Of the newest record."""
    return self.records[-1]["seconds"] if self.records else 0.0

  def close(self) -> None:
    """Ends the event file."""
    if self._tensorboard:
      self._tensorboard.close()


def read_records(workdir: epath.Path) -> list[Record]:
  """The records of metrics.jsonl, oldest first; none where there is no such file."""
  path = workdir / "metrics.jsonl"
  return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
