"""The checkpoints below a directory: which there are, which to trust, which to keep."""

import datetime
import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from etils import epath
from jax.experimental import multihost_utils

from hornet_jax.errors import InputError
from hornet_jax.train import manifest
from hornet_jax.train.manifest import State

_logger = logging.getLogger(__name__)


class StepFolder(NamedTuple):
  """The folder of one checkpoint.

  Attributes:
    step: number of updates done.
    path: of the folder.
  """

  step: int
  path: epath.Path

  @property
  def metrics(self) -> dict[str, float]:
    """Of the evaluation of this step; empty where there was none or they cannot be read."""
    old = self.path / "metrics" / "metrics"  # where earlier versions kept them
    try:
      if old.exists():
        return dict(json.loads(old.read_text()))
      return dict(self._metadata()["custom_metadata"]["metrics"])
    except (OSError, ValueError, KeyError, TypeError):
      return {}

  @property
  def saved(self) -> datetime.datetime | None:
    """When Orbax committed it; None where that cannot be read."""
    try:
      seconds = self._metadata()["commit_timestamp_nsecs"] / 1e9
      return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
      return None

  def _metadata(self):
    return json.loads((self.path / "_CHECKPOINT_METADATA").read_text())


def find_steps(directory: epath.Path) -> list[StepFolder]:
  """Every folder that is named like a step, oldest first; other names are nobody's business."""
  if not directory.exists():
    return []
  names = [path.name for path in directory.iterdir() if path.is_dir()]
  steps = sorted(int(name) for name in names if name.isdecimal() and name == str(int(name)))
  return [StepFolder(step, directory / str(step)) for step in steps]


def score(metrics: Mapping[str, float]) -> float:
  """By which checkpoints are ranked: higher is better, minus infinity without an evaluation."""
  return metrics.get("eval_ema/top1", -np.inf)


def by_score(steps: Sequence[StepFolder]) -> list[StepFolder]:
  """Those that were evaluated, the best first and of equals the newest."""
  ranked = sorted((score(folder.metrics), folder.step, folder) for folder in steps)
  return [folder for value, _, folder in reversed(ranked) if value > -np.inf]


def surplus(
  steps: Sequence[StepFolder],
  states: Mapping[int, State],
  keep: int,
  keep_best: int,
) -> list[StepFolder]:
  """Those that may be deleted; never one without which nothing good would be left.

  The newest and the best are counted among the intact ones, so that damage never pushes a good
  checkpoint out; where none has a manifest, among those without. Damaged ones are never
  surplus, nor is one without a manifest that is newer than those kept.

  Args:
    steps: all of a directory.
    states: of each of them.
    keep: number of newest ones to keep, at least 1.
    keep_best: number of best ones to keep besides.
  """
  by_state = {
    state: [folder for folder in steps if states[folder.step] == state] for state in State
  }
  sound = by_state[State.INTACT] or by_state[State.UNVERIFIED]
  newest = sorted(sound)[-keep:]
  kept = {folder.step for folder in (*newest, *by_score(sound)[:keep_best])}
  return [
    folder
    for folder in steps
    if states[folder.step] != State.DAMAGED
    and folder.step not in kept
    and folder.step < newest[0].step
  ]


def delete(folder: StepFolder) -> None:
  """Deletes a checkpoint; a kill in between leaves one without a manifest, which nobody trusts."""
  (folder.path / manifest.NAME).unlink(missing_ok=True)
  folder.path.rmtree()


class WalkBack:
  """Checkpoints in the order in which to try them, each checked when its turn comes.

  First those whose checksums hold. Those without a manifest, killed before it was written or
  made by an earlier version, come last: a run repeats steps exactly, so going further back
  costs time and nothing else. Each that is passed over is named in one line.

  Attributes:
    left_out: step to reason, of those passed over so far.
  """

  def __init__(self, directory: epath.Path, steps: Sequence[StepFolder]):
    """Will try `steps` of `directory`, the first one first."""
    self._directory = directory
    self._steps = list(steps)
    self.left_out: dict[int, str] = {}

  def __iter__(self) -> Iterator[tuple[StepFolder, State]]:
    """Yields the same on every process: the first one reads the files and tells the others."""
    if jax.process_count() == 1:
      yield from self._check_each()
      return
    found = self._check_each() if jax.process_index() == 0 else iter(())
    while True:
      folder, state = next(found, (None, State.DAMAGED))
      mine = [-1 if folder is None else folder.step, state == State.INTACT]
      step, intact = multihost_utils.broadcast_one_to_all(np.array(mine, np.int32)).tolist()
      if step < 0:
        return
      agreed = StepFolder(step, self._directory / str(step))
      yield agreed, State.INTACT if intact else State.UNVERIFIED

  def _check_each(self) -> Iterator[tuple[StepFolder, State]]:
    unverified: list[StepFolder] = []
    for folder in self._steps:
      verdict = manifest.check(folder.path)
      if verdict.state == State.DAMAGED:
        self.leave_out(folder, verdict.reason)
      elif verdict.state == State.UNVERIFIED:
        unverified.append(folder)
      else:
        for passed in unverified:
          _logger.warning(
            "checkpoint of step %d left out: it has no %s, and step %d has",
            *(passed.step, manifest.NAME, folder.step),
          )
        yield folder, verdict.state  # which loads, or is an error: nothing comes after it
    yield from ((folder, State.UNVERIFIED) for folder in unverified)

  def leave_out(self, folder: StepFolder, reason: str) -> None:
    """Passes over a checkpoint, in one line."""
    self.left_out[folder.step] = reason
    _logger.warning("checkpoint of step %d left out: %s", folder.step, reason)

  def refusal(self) -> InputError:
    """What to raise when there is nothing left to try."""
    reasons = "; ".join(f"step {step} ({reason})" for step, reason in self.left_out.items())
    return InputError(
      f"{self._directory} must hold a checkpoint that can be restored: expected one, got "
      f"{reasons or 'none that the first process can read'}. Hint: put a copy in its place; to "
      "start over, choose another --workdir."
    )


def states_of(
  steps: Sequence[StepFolder], damaged: Collection[int] = (), *, read: bool = False
) -> dict[int, State]:
  """The state of every step.

  Args:
    steps: those to look at.
    damaged: those that are known to be damaged.
    read: compare checksums; False for names and sizes alone.
  """
  return {
    folder.step: State.DAMAGED
    if folder.step in damaged
    else manifest.check(folder.path, read=read).state
    for folder in steps
  }
