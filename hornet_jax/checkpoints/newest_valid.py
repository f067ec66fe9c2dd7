"""Reading the checkpoint that is meant: the newest, the best or one of a step.

What cannot be trusted is passed over in one line; what a store does not give for a while is asked
for again.
"""

import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from etils import epath
from jax.experimental import multihost_utils

from hornet_jax.checkpoints import manifest
from hornet_jax.checkpoints.manifest import NAME, Integrity
from hornet_jax.checkpoints.restore import OtherStepError, load_weights, reason_of
from hornet_jax.checkpoints.retention import StepFolder, by_score, find_steps
from hornet_jax.errors import InputError, StorageError
from hornet_jax.files import is_transient, retried
from hornet_jax.models.stacking import unstack_blocks
from hornet_jax.paths import absolute

_logger = logging.getLogger(__name__)

_T = TypeVar("_T")


class NewestValid:
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

  def __iter__(self) -> Iterator[tuple[StepFolder, Integrity]]:
    """Yields the same on every process: the first one reads the files and tells the others."""
    if jax.process_count() == 1:
      yield from self._check_each()
      return
    found = self._check_each() if jax.process_index() == 0 else iter(())
    while True:
      folder, state = next(found, (None, Integrity.DAMAGED))
      mine = [-1 if folder is None else folder.step, state == Integrity.INTACT]
      step, intact = multihost_utils.broadcast_one_to_all(np.array(mine, np.int32)).tolist()
      if step < 0:
        return
      agreed = StepFolder(step, self._directory / str(step))
      yield agreed, Integrity.INTACT if intact else Integrity.UNVERIFIED

  def _check_each(self) -> Iterator[tuple[StepFolder, Integrity]]:
    unverified: list[StepFolder] = []
    told = 0
    for folder in self._steps:
      verdict = manifest.check(folder.path)
      if verdict.state == Integrity.DAMAGED:
        self.leave_out(folder, verdict.reason)
      elif verdict.state == Integrity.UNVERIFIED:
        unverified.append(folder)
      else:
        for passed in unverified[told:]:
          _logger.warning(
            "checkpoint of step %d left out: it has no %s, and step %d has",
            *(passed.step, manifest.NAME, folder.step),
          )
        told = len(unverified)
        yield folder, verdict.state
    yield from ((folder, Integrity.UNVERIFIED) for folder in unverified)

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


def load_params(
  directory: epath.Path, which: str | int = "last", ranked_by: str = ""
) -> tuple[int, dict[str, Any], dict[str, Any]]:
  """Loads (step, params, ema_params), see `load_variables`."""
  step, raw, averaged = load_variables(directory, which, ranked_by)
  return step, raw["params"], averaged["params"]


def load_variables(
  directory: epath.Path, which: str | int = "last", ranked_by: str = ""
) -> tuple[int, dict[str, Any], dict[str, Any]]:
  """Loads what the model of a checkpoint is applied with, as numpy arrays.

  The blocks of a stage are apart, as in files.

  Args:
    directory: folder of the checkpoints.
    which: `"last"`, `"best"` or a step.
    ranked_by: the name of the metric by which one is the best.

  Returns:
    The step, and the variables with the parameters themselves and with their moving average.

  Raises:
    InputError: if the directory holds no such checkpoint, naming those that are there, or it
      is damaged.
  """
  walk = NewestValid(absolute(directory), choose(directory, which, ranked_by))
  step, state = load_first(walk, iter(walk), load_weights)
  model_state = state["model_state"]
  raw = {"params": state["params"], **model_state}
  averaged = {"params": state["ema_params"], **model_state}
  return step, unstack_blocks(raw), unstack_blocks(averaged)


def choose(directory: epath.Path, which: str | int, ranked_by: str = "") -> list[StepFolder]:
  """Finds the checkpoints that a person means, in the order in which to try them.

  Args:
    directory: folder of the checkpoints.
    which: `"last"`, `"best"` or a step.
    ranked_by: the name of the metric by which one is the best.

  Raises:
    InputError: if there is none.
  """
  directory = absolute(directory)  # Orbax refuses relative paths
  steps = find_steps(directory)
  if not steps:
    raise InputError(
      f"`workdir` must hold a checkpoint: expected one in {directory}, found none. "
      "Hint: train first, or name the right --workdir."
    )
  if which == "last":
    return steps[::-1]
  if which == "best":
    named = by_score(steps, ranked_by)
  else:
    named = [folder for folder in steps if str(folder.step) == str(which)]
  if not named:
    raise InputError(
      "`checkpoint` must be last, best (of those evaluated and kept) or a step: expected one "
      f"of {', '.join(str(folder.step) for folder in steps)}, got {which!r}."
    )
  return named


def load_first(
  walk: NewestValid,
  candidates: Iterable[tuple[StepFolder, Integrity]],
  load: Callable[[epath.Path], _T],
) -> tuple[int, _T]:
  """Step and content of the first candidate that loads.

  Args:
    walk: walk that the candidates are of.
    candidates: folders, and how far each can be trusted.
    load: reads one folder.

  Raises:
    InputError: if one is intact and does not load, or none loads.
    StorageError: if the storage fails.
  """
  for folder, state in candidates:
    try:
      content = _asked_again(f"restoring step {folder.step}", functools.partial(load, folder.path))
    except StorageError:
      raise
    except OtherStepError as error:
      walk.leave_out(folder, str(error))
    except Exception as error:
      if state == Integrity.INTACT:
        raise InputError(
          f"the checkpoint of step {folder.step} in {folder.path.parent} is intact, but cannot be "
          f"restored here: {reason_of(error)}."
        ) from error
      walk.leave_out(folder, f"Orbax cannot load it: {reason_of(error)}")
    else:
      if state == Integrity.UNVERIFIED:
        _logger.warning("checkpoint of step %d has no %s: used unverified", folder.step, NAME)
      return folder.step, content
  raise walk.refusal()


def _asked_again(what: str, act: Callable[[], _T]) -> _T:
  """`retried`; several processes read together, and would have to agree on another try."""
  if jax.process_count() == 1:
    return retried(what, act)
  try:
    return act()
  except Exception as error:
    if is_transient(error):
      raise StorageError(f"{what} failed: {reason_of(error)}.") from error
    raise
