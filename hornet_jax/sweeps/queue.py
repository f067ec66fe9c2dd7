"""The queue of a sweep is an Optuna study: in a file of SQLite for one machine, else a database.

Optuna samples nothing here. Its storage hands each waiting trial to one worker, knows by their
heartbeats which workers are alive, and puts the trial of a dead one back.
"""

import contextlib
import logging
import os
import socket
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from hornet_jax.errors import InputError, StorageError
from hornet_jax.sweeps.database import answering, open_database
from hornet_jax.sweeps.held import Attributes, Held

TRIAL = "trial"  # name of the attribute with the first digits of the hash of what is trained
AFTER = "after"  # hash of the trial that it waits for
REASON = "reason"  # of a failure
WORKER = "worker"  # host and process of who has the trial
_BEAT_SECONDS = 30
_SILENCE_SECONDS = 600  # of a worker whose machine is busy, and who is alive

_logger = logging.getLogger(__name__)

Run = Callable[[Attributes, Callable[[str, Any], None]], float]


class Queue:
  """A `Queue` holds the trials of one sweep, and what came of them."""

  def __init__(
    self,
    storage: str,
    name: str,
    *,
    must_exist: bool = False,
    beat: int = _BEAT_SECONDS,
    silence: int = _SILENCE_SECONDS,
  ):
    """Opens the queue.

    Args:
      storage: URL of a database as SQLAlchemy has it, such as `sqlite:///workdir/sweep.db` on one
        machine and `postgresql+psycopg://user@host/database` for many.
      name: name of the sweep there.
      must_exist: whether a queue that is not there is an error; else it is made.
      beat: seconds between the signs of life of a worker.
      silence: seconds without one after which a worker counts as dead.

    Raises:
      InputError: if there is no such database or no driver for it, or no such queue.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it logs a traceback for each failure
    # For good: filters belong to the process, and Optuna's threads save and restore them as well.
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    self._storage = open_database(storage, beat, silence)
    sampler = optuna.samplers.RandomSampler(0)  # there is nothing to draw
    if not must_exist:
      with contextlib.suppress(DuplicatedStudyError):  # there, or made meanwhile by another worker
        optuna.create_study(storage=self._storage, study_name=name, sampler=sampler)
    try:
      self._study = optuna.load_study(storage=self._storage, study_name=name, sampler=sampler)
    except KeyError as error:
      self.close()
      raise InputError(
        f"`storage` must have a queue of the sweep {name}: {storage} has none. Hint: `sweep run` "
        "makes it; --storage and --trials must be those of that command."
      ) from error
    self._held = Held(self._study)

  def close(self) -> None:
    """Closes the connections of the calling thread to the database."""
    self._storage.remove_session()
    self._storage.engine.dispose()

  def add(self, trials: Mapping[str, Attributes], *, again: bool = False) -> int:
    """Adds trials that are not there yet; returns how many.

    Args:
      trials: hash of a trial -> what a worker needs of it, of JSON types; one with `AFTER` is held
        until `release` lets it go.
      again: whether trials that failed are added once more.
    """
    there = self.states()
    new = {
      name: attributes
      for name, attributes in trials.items()
      if name not in there or (again and there[name].state == TrialState.FAIL)
    }
    later = {name: of for name, of in new.items() if AFTER in of and name not in there}
    with answering():
      for name, attributes in new.items():
        if name not in later:
          self._enqueue(name, attributes)
      return len(new) - len(later) + self._held.put(later)

  def held(self) -> dict[str, Attributes]:
    """Gives the trials that still wait for another one, by their hashes."""
    with answering():
      held = self._held.all()
    there = self.states() if held else {}
    return {name: attributes for name, attributes in held.items() if name not in there}

  def release(self, may_begin: Callable[[Attributes], bool]) -> None:
    """Lets the trials go that need not wait any longer.

    These are those of which the trial that they wait for is complete, whatever came of it, and
    those that may begin before that.

    Args:
      may_begin: function that tells of the attributes of a trial whether it may.
    """
    held = self.held()
    complete = set(self.names(TrialState.COMPLETE)) if held else set()
    for name, attributes in held.items():
      if attributes[AFTER] in complete or may_begin(attributes):
        with answering():
          self._enqueue(name, attributes)

  def _enqueue(self, name: str, attributes: Attributes) -> None:
    self._study.enqueue_trial({}, user_attrs={**attributes, TRIAL: name})

  def states(self) -> dict[str, FrozenTrial]:
    """Gives of each trial, by its hash, the entry that counts: complete, or else the newest."""
    found: dict[str, FrozenTrial] = {}
    with answering():
      entries = self._study.get_trials(deepcopy=False)
    for entry in entries:
      name = entry.user_attrs.get(TRIAL)
      if name is None or entry.state == TrialState.PRUNED:
        continue  # Optuna's own, or a second entry of the same trial
      if name not in found or found[name].state != TrialState.COMPLETE:
        found[name] = entry
    return found

  def names(self, *states: TrialState) -> list[str]:
    """Lists the hashes of the trials that are in one of these states."""
    return [name for name, entry in self.states().items() if entry.state in states]

  def reclaim(self) -> None:
    """Puts the trials of workers that are dead back.

    A worker of this machine is dead when its process is gone; one of another machine when it gave
    no sign of life for as long as `silence` says.
    """
    with answering():
      for entry in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if _is_gone(entry.user_attrs.get(WORKER, "")):
          with contextlib.suppress(ValueError, UpdateFinishedTrialError):  # another was faster
            self._study.tell(entry.number, state=TrialState.FAIL)
            self._study.enqueue_trial({}, user_attrs=dict(entry.user_attrs))
      optuna.storages.fail_stale_trials(self._study)

  def run_next(self, run: Run, catch: Iterable[type[Exception]]) -> bool:
    """Runs the next trial that waits, if one does, and notes what came of it.

    Args:
      run: function that runs a trial and returns its score, of the trial's attributes and of a
        function that adds one.
      catch: errors of `run` that belong to the trial: it then counts as failed, with the reason.
        After any other error, which is raised, the trial waits again.

    Returns:
      Whether a trial is complete now.

    Raises:
      StorageError: if the database does not answer.
    """
    taken: dict[str, Any] = {}
    number = -1
    complete = False
    given_up: BaseException | None = None

    def objective(entry: optuna.Trial) -> float:
      nonlocal complete, given_up, number
      name = entry.user_attrs.get(TRIAL)
      if name is None:
        raise optuna.TrialPruned("drawn by Optuna, as nothing waits")
      if self._is_double(name, entry.number):
        raise optuna.TrialPruned("another entry has the same trial")
      number = entry.number
      taken.update(entry.user_attrs)
      entry.set_user_attr(WORKER, f"{socket.gethostname()}:{os.getpid()}")
      try:
        score = run(entry.user_attrs, entry.set_user_attr)
      except UpdateFinishedTrialError:
        raise
      except tuple(catch) as error:
        entry.set_user_attr(REASON, str(error) or type(error).__name__)
        raise
      except BaseException as error:
        given_up = error
        raise
      complete = True
      return score

    try:
      with answering():
        self._study.optimize(objective, n_trials=1, catch=tuple(catch))
    except BaseException as error:
      if error is given_up:
        self._study.enqueue_trial({}, user_attrs=taken)
        raise
      if isinstance(error, StorageError) or number < 0:
        raise
      if not self._study.trials[number].state.is_finished():
        raise
      # Optuna fails at an entry that another worker has closed, by one error or another.
      _logger.warning(
        "a sign of life of this worker came too late, and its trial was given to another one, "
        "which goes on with what is done"
      )
      return False
    return complete

  def _is_double(self, name: str, number: int) -> bool:
    """Tells whether an earlier entry has the same trial, as where two processes add at once."""
    return any(
      entry.user_attrs.get(TRIAL) == name
      and entry.number < number
      and entry.state in (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING)
      for entry in self._study.get_trials(deepcopy=False)
    )


def _is_gone(worker: str) -> bool:
  """Tells whether a worker was a process of this machine that is there no more."""
  host, _, process = worker.rpartition(":")
  if host != socket.gethostname() or not process.isdecimal():
    return False
  try:
    os.kill(int(process), 0)
  except ProcessLookupError:
    return True
  except OSError:  # another user's
    return False
  return False
