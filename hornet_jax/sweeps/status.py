"""Where a sweep stands: what is done, who is at work on what, and how long it will take."""

import dataclasses
import datetime
from collections.abc import Mapping

from etils import epath
from optuna.trial import FrozenTrial, TrialState
from tabulate import tabulate

from hornet_jax.runs.records import read_records
from hornet_jax.runs.workdir import is_workdir
from hornet_jax.sweeps.held import Attributes
from hornet_jax.sweeps.queue import AFTER, REASON, WORKER, Queue
from hornet_jax.sweeps.worker import FLOPS, LABEL, ROW
from hornet_jax.wording import counted

_NAMES = {
  TrialState.COMPLETE: "complete",
  TrialState.RUNNING: "running",
  TrialState.WAITING: "waiting",
  TrialState.FAIL: "failed",
}


@dataclasses.dataclass(frozen=True)
class Status:
  """A `Status` holds the entries of a queue at one moment.

  Attributes:
    entries: entry of each trial, by its hash.
    steps: newest step that is logged of the trials that run, by their hashes.
    now: the moment.
    held: attributes of the trials that wait for their trunk, by their hashes.
  """

  entries: Mapping[str, FrozenTrial]
  steps: Mapping[str, int]
  now: datetime.datetime
  held: Mapping[str, Attributes] = dataclasses.field(default_factory=dict)

  @property
  def is_over(self) -> bool:
    """Tells whether no trial waits or runs, but for those whose trunk failed."""
    return not self._of(TrialState.RUNNING, TrialState.WAITING) and self.stuck == len(self.held)

  @property
  def stuck(self) -> int:
    """Counts the trials that wait for a trunk that failed."""
    failed = {name for name, entry in self.entries.items() if entry.state == TrialState.FAIL}
    return sum(attributes[AFTER] in failed for attributes in self.held.values())

  @property
  def has_failed(self) -> bool:
    """Tells whether a trial failed, which a person has to look at."""
    return bool(self._of(TrialState.FAIL))

  @property
  def seconds_left(self) -> float | None:
    """Estimates the seconds that the rest takes; None before the first trial is complete.

    What is left, in FLOPs, takes as long for each as what is complete took, and as many workers as
    are at work now share it.
    """
    done = self._of(TrialState.COMPLETE)
    flops = sum(entry.user_attrs[FLOPS] for entry in done)
    seconds = sum(_seconds(entry) for entry in done)
    if not flops or not seconds:
      return None
    left = self._of(TrialState.WAITING, TrialState.RUNNING)
    spent = sum(
      (self.now - entry.datetime_start).total_seconds()
      for entry in self._of(TrialState.RUNNING)
      if entry.datetime_start
    )
    needed = sum(entry.user_attrs[FLOPS] for entry in left)
    needed += sum(attributes[FLOPS] for attributes in self.held.values())
    needed *= seconds / flops
    workers = max(len(self._of(TrialState.RUNNING)), 1)
    return max(needed - spent, 0.0) / workers

  def _of(self, *states: TrialState) -> list[FrozenTrial]:
    return [entry for entry in self.entries.values() if entry.state in states]


def read_status(queue: Queue, workdirs: epath.Path) -> Status:
  """Reads where a sweep stands.

  Args:
    queue: queue of its trials.
    workdirs: folder of the trials' workdirs.
  """
  entries = queue.states()
  running = [name for name, entry in entries.items() if entry.state == TrialState.RUNNING]
  steps = {name: _newest_step(workdirs / name) for name in running}
  # The time as Optuna has it: local.
  return Status(entries, steps, datetime.datetime.now(), queue.held())


def describe_status(status: Status) -> str:
  """Writes a status for a terminal: a line of counts, then what runs and what failed."""
  counts = {
    name: sum(entry.state == state for entry in status.entries.values())
    for state, name in _NAMES.items()
  }
  counts["waiting for a trunk that failed"] = status.stuck
  counts["waiting for a trunk"] = len(status.held) - status.stuck
  line = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
  left = status.seconds_left
  if not status.is_over:
    line += f"; about {_duration(left)} left" if left is not None else "; time left not known yet"
  lines = [f"{counted(len(status.entries) + len(status.held), 'trial')}: {line or 'none'}"]
  running = [
    {
      "trial": name,
      "what": status.entries[name].user_attrs[LABEL],
      "worker": status.entries[name].user_attrs.get(WORKER, ""),
      "step": f"{step:,}",
      "for": _duration((status.now - begin).total_seconds()),
    }
    for name, step in status.steps.items()
    if (begin := status.entries[name].datetime_start)
  ]
  if running:
    lines.append(tabulate(running, headers="keys", disable_numparse=True))
  lines += [
    f"failed: {name}, {entry.user_attrs[LABEL]}: {entry.user_attrs.get(REASON, 'worker died')}"
    for name, entry in sorted(status.entries.items())
    if entry.state == TrialState.FAIL
  ]
  return "\n".join(lines)


def _seconds(entry: FrozenTrial) -> float:
  return float(entry.user_attrs[ROW]["seconds"]) if ROW in entry.user_attrs else 0.0


def _newest_step(workdir: epath.Path) -> int:
  records = read_records(workdir) if is_workdir(workdir) else []
  return int(records[-1]["step"]) if records else 0


def _duration(seconds: float) -> str:
  minutes = round(seconds / 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours} h {minutes:02} min" if hours else f"{minutes} min" if minutes else "1 min"
