"""A trial is one training run of a study, known by the content of its config."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from hornet_jax.config.files import load_file
from hornet_jax.config.flat import flatten
from hornet_jax.config.schema import SCHEMA
from hornet_jax.errors import InputError, StoppedError, StorageError
from hornet_jax.exit_status import AGAIN, COMPLETE, PERSON
from hornet_jax.lock import locked
from hornet_jax.runs.result import RunResult, read_result
from hornet_jax.runs.workdir import LOCK, is_workdir

_STARTS = 3  # of one trial, where a fault is one that a new start mends
_DIGITS = 12
_POLL_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class Trial:
  """A `Trial` is a config with overrides.

  Attributes:
    config: name or path of a config file, with its argument, as `--config` takes it.
    overrides: dotted key -> value.
  """

  config: str
  overrides: Mapping[str, Any]

  @functools.cached_property
  def settings(self) -> dict[str, Any]:
    """Gives the config with the overrides, by dotted keys.

    Raises:
      InputError: if a key is unknown or a value has another type.
    """
    config = load_file(self.config)
    try:
      config.update_from_flattened_dict(dict(self.overrides))
    except (KeyError, TypeError, ValueError) as error:
      raise InputError(f"`overrides` must be keys and values of a config: {error}.") from error
    return flatten(config.to_dict())

  @functools.cached_property
  def name(self) -> str:
    """Gives the first digits of the SHA-256 of all settings that touch the numbers of a run."""
    what = {
      name: value
      for name, value in self.settings.items()
      if (SCHEMA[name].official or not SCHEMA[name].may_change)
      and not (SCHEMA[name].later and value == _as_listed(SCHEMA[name].before))
    }
    text = json.dumps(what, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]

  def arguments(self) -> list[str]:
    """Gives the arguments of `train` that it stands for, but for the workdir."""
    return [
      f"--config={self.config}",
      *(f"--config.{name}={value}" for name, value in sorted(self.overrides.items())),
    ]


def run_trial(
  trial: Trial,
  workdirs: epath.Path,
  logs: pathlib.Path,
  *,
  stopping: threading.Event | None = None,
  launcher: Sequence[str] = (),
  branch_from: epath.Path | None = None,
) -> RunResult:
  """Trains in a process of its own, or goes on where that was stopped.

  Args:
    trial: what to train.
    workdirs: folder of the workdirs of all trials; each has one there by its name.
    logs: folder of what the processes print, in `NAME.log`.
    stopping: event at which the process is asked to stop, which saves what it has.
    launcher: words of a command that starts `hornet` with the arguments that follow, on all hosts
      of a slice; none for a process of this Python.
    branch_from: workdir of a run whose checkpoint a new run begins with; one that has begun goes on
      with its own.

  Returns:
    The result of the finished run, or of one that ended because its loss is not finite.

  Raises:
    InputError: if a person has to act first; what the process said is told.
    StorageError: if it stopped, several times, by a fault that a new start may mend.
    StoppedError: if `stopping` was set.
    RuntimeError: if it ended by a defect.
  """
  workdir, log = workdirs / trial.name, logs / f"{trial.name}.log"
  for _ in range(_STARTS):
    # A process that outlived its study is still at it, or another study is.
    with locked(workdir / LOCK, f"trial {trial.name}", wait=True):
      result = read_result(workdir)
    if result and (result.complete or result.diverged):
      return result
    arguments = [*trial.arguments(), f"--workdir={workdir}"]
    if branch_from and not is_workdir(workdir):
      arguments.append(f"--branch_from={branch_from}")
    status = _start(arguments, log, stopping, launcher)
    if stopping and stopping.is_set():
      raise StoppedError(f"trial {trial.name} is saved: the same command goes on")
    last = (log.read_text(errors="replace").strip().splitlines() or ["no output"])[-1]
    result = read_result(workdir)
    if status == PERSON and not (result and result.diverged):
      raise InputError(f"trial {trial.name}: {last.removeprefix('hornet: error: ')} (see {log})")
    if status not in (COMPLETE, PERSON, AGAIN):
      raise RuntimeError(f"trial {trial.name} ended with status {status}: {last} (see {log})")
  raise StorageError(f"trial {trial.name} stopped {_STARTS} times; what it said is in {log}.")


def _start(
  arguments: Sequence[str],
  log: pathlib.Path,
  stopping: threading.Event | None,
  launcher: Sequence[str],
) -> int:
  """Starts `train` with some arguments and waits for its end; returns its exit status."""
  root = pathlib.Path(__file__).parents[2]
  path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
  log.parent.mkdir(parents=True, exist_ok=True)
  command = [*(launcher or (sys.executable, "-m", "hornet_jax")), "train", *arguments]
  with log.open("a") as output:
    process = subprocess.Popen(
      command,
      env={**os.environ, "PYTHONPATH": path},
      stdin=subprocess.DEVNULL,
      stdout=output,
      stderr=subprocess.STDOUT,
      start_new_session=stopping is not None,  # Ctrl-C is for who waits here, and saves
    )
  try:
    while stopping:
      with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(_POLL_SECONDS)
      if stopping.is_set():
        process.terminate()
        break
    return process.wait()
  except BaseException:
    process.terminate()
    process.wait()
    raise


def _as_listed(value: Any) -> Any:
  """Gives the value of a key as settings have it: lists, where the schema has tuples."""
  return list(value) if isinstance(value, tuple) else value
