"""A worker takes one trial after another from the queue, until none is left for anybody."""

import pathlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

from etils import epath
from optuna.trial import TrialState

from hornet_jax.checkpoints import manifest
from hornet_jax.errors import InputError, StoppedError, StorageError
from hornet_jax.files import exists
from hornet_jax.runs.branch_record import read_branch_record
from hornet_jax.studies.row import describe_result
from hornet_jax.studies.trial import Trial, run_trial
from hornet_jax.sweeps.held import Attributes
from hornet_jax.sweeps.queue import AFTER, TRIAL, Queue, Run

CONFIG, OVERRIDES, LABEL, ARM, FLOPS = "config", "overrides", "label", "arm", "flops"
BRANCH_STEP = "branch_step"
ROW, RUN = "row", "run"
"""Names of what the queue holds of a trial, beside its hash."""
_POLL_SECONDS = 5.0  # while all that is left is in the hands of others


def work(
  queue: Queue,
  run: Run,
  stopping: threading.Event,
  poll: float = _POLL_SECONDS,
  may_begin: Callable[[Attributes], bool] = lambda _: False,
) -> None:
  """Runs trials until each is complete or has failed, or waits for one that failed.

  Args:
    queue: queue of the trials.
    run: function that runs a trial, see `Queue.run_next`.
    stopping: event after which no trial is begun.
    poll: seconds between looks at the queue while others have all that is left.
    may_begin: function that tells whether a trial may begin while the one that it waits for runs.

  Raises:
    InputError: if a trial cannot be run and none was before: so it may be with all.
    StoppedError: if `stopping` was set.
    StorageError: if the database does not answer.
  """
  catch: tuple[type[Exception], ...] = (StorageError, RuntimeError)
  while not stopping.is_set():
    queue.reclaim()
    queue.release(may_begin)
    if queue.names(TrialState.WAITING):
      if queue.run_next(run, catch):
        catch = (InputError, StorageError, RuntimeError)
    elif queue.names(TrialState.RUNNING):
      stopping.wait(poll)
    else:
      return
  raise StoppedError("the worker was asked to stop: the same command goes on")


class Trainer:
  """A `Trainer` runs the trials of a queue as processes of their own."""

  def __init__(
    self,
    workdirs: epath.Path,
    logs: pathlib.Path,
    stopping: threading.Event,
    tell: Callable[[str], None],
    launcher: Sequence[str] = (),
  ):
    """Says where and how.

    Args:
      workdirs: folder of the trials' workdirs, which all workers reach.
      logs: folder of what the processes print, on this machine.
      stopping: event at which a trial is saved and stopped.
      tell: function that prints a line.
      launcher: words of a command that starts what follows them on all hosts of a slice; none for
        a process on this machine.
    """
    self._workdirs, self._logs, self._launcher = workdirs, logs, launcher
    self._stopping, self._tell = stopping, tell

  def __call__(self, attributes: Attributes, note: Callable[[str, Any], None]) -> float:
    """Runs a trial, or goes on with it; returns its score, 0 where its loss is not finite.

    Raises:
      InputError: if a person has to act first, or the config gives another trial here.
      StorageError: if it stopped several times by a fault that a new start may mend.
      StoppedError: if this worker was asked to stop; the trial is saved.
      RuntimeError: if it ended by a defect.
    """
    trial = Trial(attributes[CONFIG], attributes[OVERRIDES])
    if trial.name != attributes[TRIAL]:
      raise InputError(
        f"{attributes[CONFIG]} must be what it was when the trial was added: expected the hash "
        f"{attributes[TRIAL]}, got {trial.name}. Hint: the same revision of the code for all "
        "workers."
      )
    trunk = self._workdirs / attributes[AFTER] if self.may_begin(attributes) else None
    result = run_trial(
      trial,
      self._workdirs,
      self._logs,
      stopping=self._stopping,
      launcher=self._launcher,
      branch_from=trunk,
    )
    workdir = self._workdirs / trial.name
    row = describe_result(trial, result, workdir)
    branch = read_branch_record(workdir)
    run = epath.Path(branch.trunk).name if branch else trial.name
    note(ROW, {**row, RUN: run, BRANCH_STEP: str(branch.step) if branch else ""})
    score = float(row["score"] or 0)
    self._tell(f"{attributes[LABEL]}: {f'{score:.2%}' if row['score'] else row['reason']}")
    return score

  def may_begin(self, attributes: Attributes) -> bool:
    """Tells whether the trunk of a trial has the checkpoint that it begins with.

    One whose trunk is complete and has none, as where it was trained before the branch was asked
    for, is trained from its start, which has the same numbers.
    """
    if AFTER not in attributes:
      return False
    step = str(attributes[BRANCH_STEP])
    folder = self._workdirs / attributes[AFTER] / "checkpoints" / step
    return exists(folder) and manifest.check(folder, read=False).state == manifest.Integrity.INTACT
