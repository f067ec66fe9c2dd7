"""This module writes the log of a run, metrics.jsonl and TensorBoard's files, beside the loop."""

import logging
import time
from collections.abc import Mapping, Sequence

import jax
from etils import epath

from hornet_jax.runs.background import Background
from hornet_jax.runs.events import EventFiles
from hornet_jax.runs.records import NAME, Record, RecordFile

_CLOSING = 30.0  # seconds that a run waits for its last lines

_logger = logging.getLogger(__name__)


class MetricsLog:
  """A `MetricsLog` holds the records of one run and writes them to its workdir.

  A record is one JSON object a line, with its `step` and the `seconds` that the run had taken by
  then, over all its starts.

  A run that resumes drops the records after the step that it resumes from: those steps
  are done again. Process 0 writes, in a thread: no failure of that ends a run. What could not be
  written stays in `records` and comes with the next record that finds its way.
  """

  def __init__(self, workdir: epath.Path, start_step: int):
    """Opens the log to go on after `start_step` updates.

    Args:
      workdir: folder of the run.
      start_step: number of updates done.

    Raises:
      StorageError: if the records of earlier starts cannot be read.
    """
    self.workdir = workdir
    file = RecordFile(workdir)
    self.records = [record for record in file.records if record["step"] <= start_step]
    self._seconds_before = self.seconds
    self._opened = time.perf_counter()
    self._background: Background | None = None
    if jax.process_index() == 0:
      events = EventFiles(workdir / "tensorboard", self.records)
      self._background = Background(
        [lambda: file.save(list(self.records)), lambda: events.save(list(self.records))]
      )
      self._background.wake()

  def write(self, step: int, values: Mapping[str, float]) -> None:
    """Adds the values of one step; a step may be written more than once."""
    seconds = self._seconds_before + time.perf_counter() - self._opened
    self.records.append({"step": step, "seconds": round(seconds, 3), **values})
    self._wake()

  def drop_after(self, step: int) -> None:
    """Drops the records after a step to which the run goes back."""
    self.records = [record for record in self.records if record["step"] <= step]
    self._wake()

  @property
  def seconds(self) -> float:
    """Returns the seconds that the run had taken at its newest record."""
    return self.records[-1]["seconds"] if self.records else 0.0

  def close(self) -> None:
    """Writes the records that are left, and waits half a minute for that at most."""
    if self._background and not self._background.close(_CLOSING):
      _logger.warning("%s lacks its last lines.", self.workdir / NAME)

  def _wake(self) -> None:
    if self._background:
      self._background.wake()


def newest_evaluation(records: Sequence[Record]) -> dict[str, float]:
  """Returns the metrics of the newest evaluation among records; empty where there was none."""
  for record in reversed(records):
    found = {name: value for name, value in record.items() if name.startswith("eval")}
    if found:
      return found
  return {}
