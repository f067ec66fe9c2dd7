"""Checkpoints of a run: saved in the background, trusted only where their checksums hold.

Orbax writes and reads the folder of a step. Which steps there are, which of them to trust and
which to keep is decided here: Orbax's own manager loads flipped bits, takes a stray folder for
the newest step and counts damaged ones among those to keep.
"""

import concurrent.futures
import itertools
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import jax
from etils import epath
from orbax.checkpoint import v1 as ocp

from hornet_jax.errors import FullDiskError, InputError, StorageError
from hornet_jax.models.stacking import unstack_blocks
from hornet_jax.paths import absolute
from hornet_jax.train.files import is_full_disk, make_folder
from hornet_jax.train.manifest import NAME, State, write_manifest
from hornet_jax.train.saved_state import load_state, load_weights
from hornet_jax.train.state import TrainState
from hornet_jax.train.step_folders import (
  StepFolder,
  WalkBack,
  by_score,
  delete,
  find_steps,
  states_of,
  surplus,
)

_logger = logging.getLogger(__name__)

_UNFINISHED = ".orbax-checkpoint-tmp"
_LONGEST_REASON = 200  # characters; Orbax writes pages
_T = TypeVar("_T")


class Checkpoints:
  """The checkpoints below one directory, one folder a step.

  Use as a context manager: leaving it waits for the save under way.
  """

  def __init__(
    self, directory: epath.Path, keep: int, keep_best: int = 0, on_full_disk: str = "stop"
  ):
    """Opens the directory, clears what an interrupted save left there and finds the newest
    checkpoint that can be trusted.

    Args:
      directory: local or `gs://`; made where it is missing.
      keep: number of newest checkpoints to keep.
      keep_best: number of best checkpoints to keep besides.
      on_full_disk: of a save that found no space: "stop" raises, "continue" warns once and
        leaves it at the last good checkpoint. What `wait` waits for always raises.

    Raises:
      InputError: if there are checkpoints, but none that can be trusted.
    """
    self._directory = absolute(directory)  # Orbax refuses relative paths
    self._keep, self._keep_best = keep, keep_best
    self._on_full_disk = on_full_disk
    self._writer = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
    self._pending: concurrent.futures.Future[None] | None = None
    make_folder(self._directory)
    self._clear_unfinished()
    self._find_newest()

  def _find_newest(self) -> None:
    steps = find_steps(self._directory)
    self._walk = WalkBack(self._directory, steps[::-1])
    self._candidates = iter(self._walk)
    self._candidate = next(self._candidates, None)
    self._latest_step = self._candidate and self._candidate[0].step
    if steps and self._candidate is None:
      raise self._walk.refusal()

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, exception_type, *exc_info) -> None:
    try:
      self.wait()
    except StorageError as error:
      if exception_type is None:
        raise
      _logger.warning("%s", error)  # what is under way is the graver news
    finally:
      self._writer.shutdown()
      self._clear_unfinished()

  @property
  def latest_step(self) -> int | None:
    """Step of the newest checkpoint that can be trusted, or None; waits for a save under way."""
    if self._pending:
      concurrent.futures.wait([self._pending])
    return self._latest_step

  def save(self, step: int, state: TrainState, metrics: Mapping[str, float] | None = None) -> None:
    """Starts to write `state`; returns once it has been copied from the devices.

    Args:
      step: number of updates done; what lies there already is damaged, and replaced.
      state: what to keep.
      metrics: of an evaluation of it, by which the best is found; None where there was none.

    Raises:
      StorageError: if the previous save failed.
    """
    try:
      self.wait()
    except FullDiskError as error:
      if self._on_full_disk == "stop":
        raise
      _logger.warning("%s Going on, as checkpoint.on_full_disk says.", error)
    folder = StepFolder(step, self._directory / str(step))
    context = ocp.Context()
    # Otherwise its threads wait for minutes for a folder that cannot be made.
    context.asynchronous.create_directories_asynchronously = False
    try:
      with context:
        response = ocp.save_checkpointables_async(
          folder.path,
          {"state": state},
          overwrite=True,
          custom_metadata={"metrics": dict(metrics)} if metrics else None,
        )
    except Exception as error:
      if not (isinstance(error, OSError) or is_full_disk(error)):
        raise
      self._pending = concurrent.futures.Future()
      self._pending.set_exception(self._failed(step, error))
    else:
      self._pending = self._writer.submit(self._complete, folder, response)

  def _complete(self, folder: StepFolder, response: Any) -> None:
    """Waits for Orbax to commit a step, vouches for it and deletes what it makes surplus."""
    try:
      response.result()  # returns once every process has written its part
      if jax.process_index() == 0:
        write_manifest(folder.path)
        self._delete_surplus(newest=folder.step)
    except Exception as error:
      raise self._failed(folder.step, error) from error
    self._walk.left_out.pop(folder.step, None)
    self._latest_step = folder.step

  def _delete_surplus(self, newest: int) -> None:
    """Deletes what need not be kept, once its successor is safe."""
    steps = find_steps(self._directory)
    states = states_of(steps, damaged=self._walk.left_out.keys() - {newest})
    for folder in surplus(steps, states, self._keep, self._keep_best):
      delete(folder)

  def _failed(self, step: int, error: Exception) -> StorageError:
    """The one line for a save that failed; makes room by removing what there is of it."""
    self._clear_unfinished()
    good = "none" if self._latest_step is None else f"step {self._latest_step}"
    failed = f"the checkpoint of step {step} could not be saved in {self._directory}"
    if is_full_disk(error):
      return FullDiskError(
        f"{failed}: the disk is full. The last good checkpoint is {good}. Hint: make room, or "
        "lower checkpoint.keep."
      )
    return StorageError(f"{failed}: {_reason(error)}. The last good checkpoint is {good}.")

  def _clear_unfinished(self) -> None:
    if jax.process_index() != 0:
      return
    try:
      for path in self._directory.iterdir():
        if _UNFINISHED in path.name:
          path.rmtree()
    except OSError as error:  # a thread of a failed save may still write there
      _logger.debug("unfinished checkpoints stay until the next start: %s", error)

  def wait(self) -> None:
    """Returns once the save under way is complete.

    Raises:
      StorageError: if it failed; `FullDiskError` for lack of space.
    """
    pending, self._pending = self._pending, None
    if pending is not None:
      pending.result()

  def restore(self, abstract: TrainState) -> tuple[int, TrainState]:
    """(step, state) of the newest checkpoint that can be trusted.

    Args:
      abstract: shapes, types and shardings; the mesh may differ from the saved one's.

    Raises:
      InputError: if it does not fit `abstract`, or none that can be tried loads.
    """

    if self._candidate is None or self._candidate[0].step != self.latest_step:
      self._find_newest()  # one was saved since
    assert self._candidate is not None, "there is a checkpoint to restore"
    candidates = itertools.chain([self._candidate], self._candidates)
    self._latest_step, state = _load_first(
      self._walk, candidates, lambda path: load_state(path, abstract)
    )
    return self._latest_step, state


def load_params(
  directory: epath.Path, which: str | int = "last"
) -> tuple[int, dict[str, Any], dict[str, Any]]:
  """(step, params, ema_params) of a checkpoint that can be trusted, as numpy arrays.

  The blocks of a stage are apart, as in files.

  Args:
    directory: of the checkpoints.
    which: `"last"`, `"best"` (accuracy of the averaged weights) or a step.

  Raises:
    InputError: if the directory holds no such checkpoint, naming those that are there, or it
      is damaged.
  """
  directory = absolute(directory)
  walk = WalkBack(directory, choose(directory, which))
  step, state = _load_first(walk, iter(walk), load_weights)
  params, ema_params = jax.device_get((state["params"], state["ema_params"]))
  return step, unstack_blocks(params), unstack_blocks(ema_params)


def choose(directory: epath.Path, which: str | int) -> list[StepFolder]:
  """The checkpoints that a person means, in the order in which to try them.

  Raises:
    InputError: if there is none.
  """
  steps = find_steps(directory)
  if not steps:
    raise InputError(
      f"`workdir` must hold a checkpoint: expected one in {directory}, found none. "
      "Hint: train first, or name the right --workdir."
    )
  if which == "last":
    return steps[::-1]
  named = by_score(steps) if which == "best" else [f for f in steps if str(f.step) == str(which)]
  if not named:
    raise InputError(
      "`checkpoint` must be last, best (of those evaluated and kept) or a step: expected one "
      f"of {', '.join(str(folder.step) for folder in steps)}, got {which!r}."
    )
  return named


def _load_first(
  walk: WalkBack,
  candidates: Iterable[tuple[StepFolder, State]],
  load: Callable[[epath.Path], _T],
) -> tuple[int, _T]:
  """Step and content of the first candidate that loads."""
  for folder, state in candidates:
    try:
      content = load(folder.path)
    except Exception as error:
      if state == State.INTACT:
        raise InputError(
          f"the checkpoint of step {folder.step} in {folder.path.parent} is intact, but cannot be "
          f"restored here: {_reason(error)}."
        ) from error
      walk.leave_out(folder, f"Orbax cannot load it: {_reason(error)}")
    else:
      if state == State.UNVERIFIED:
        _logger.warning("checkpoint of step %d has no %s: used unverified", folder.step, NAME)
      return folder.step, content
  raise walk.refusal()


def _reason(error: BaseException) -> str:
  """What an error of Orbax goes back to, in one line."""
  chain = [error]
  while cause := chain[-1].__cause__ or chain[-1].__context__:
    chain.append(cause)
  # A KeyError says no more than a key.
  told = [link for link in chain if not isinstance(link, KeyError) and str(link)]
  line = " ".join(str(told[-1]).split()) if told else repr(chain[-1])
  return line.rstrip(".:") if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]} ..."
