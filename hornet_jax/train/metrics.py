"""The record of a run: metrics.jsonl and TensorBoard event files."""

import json
import time
from collections.abc import Mapping

import jax
from etils import epath
from tensorboardX import SummaryWriter

from hornet_jax.train.files import write_file

Record = dict[str, float | int]


class MetricsLog:
  """Records of one run in its workdir, one JSON object a line, each with its `step` and the
  `seconds` that the run had taken by then, over all its starts. Process 0 writes them.

  A run that resumes drops the records after the step that it resumes from: those steps
  are done again.
  """

  def __init__(self, workdir: epath.Path, start_step: int):
    """Opens the log to go on after `start_step` updates."""
    self.workdir = workdir
    self._path = workdir / "metrics.jsonl"
    self.records = [r for r in read_records(workdir) if r["step"] <= start_step]
    self._seconds_before = self.seconds
    self._opened = time.perf_counter()
    self._tensorboard = None
    if jax.process_index() == 0:
      self._tensorboard = SummaryWriter(str(workdir / "tensorboard"), purge_step=start_step + 1)

  def write(self, step: int, values: Mapping[str, float]) -> None:
    """Adds the values of one step, durably; a step may be written more than once."""
    seconds = self._seconds_before + time.perf_counter() - self._opened
    self.records.append({"step": step, "seconds": round(seconds, 3), **values})
    if self._tensorboard is None:
      return
    for name, value in values.items():
      self._tensorboard.add_scalar(name, value, step)
    self._tensorboard.flush()
    write_file(self._path, "".join(json.dumps(record) + "\n" for record in self.records))

  def drop_after(self, step: int) -> None:
    """Forgets the records after a step, which is gone back to."""
    self.records = [record for record in self.records if record["step"] <= step]

  @property
  def seconds(self) -> float:
    """Of the newest record."""
    return self.records[-1]["seconds"] if self.records else 0.0

  def close(self) -> None:
    """Ends the event file."""
    if self._tensorboard is not None:
      self._tensorboard.close()


def read_records(workdir: epath.Path) -> list[Record]:
  """The records of metrics.jsonl, oldest first; none where there is no such file."""
  path = workdir / "metrics.jsonl"
  return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
