"""Checkpoints of a run: saved in the background, trusted only where their checksums hold.

Orbax writes and reads the folder of a step. Which steps there are, which of them to trust and
which to keep is decided here: Orbax's own manager loads flipped bits, takes a stray folder for
the newest step and counts damaged ones among those to keep.
"""

import concurrent.futures
import errno
import itertools
import logging
import os
import time
from collections.abc import Collection, Mapping
from typing import Any

import jax
from etils import epath
from orbax.checkpoint import v1 as ocp

from hornet_jax.checkpoints.manifest import write_manifest
from hornet_jax.checkpoints.newest_valid import NewestValid, load_first
from hornet_jax.checkpoints.restorable import is_restorable
from hornet_jax.checkpoints.restore import load_state, reason_of
from hornet_jax.checkpoints.retention import (
  StepFolder,
  delete,
  find_steps,
  states_of,
  surplus,
)
from hornet_jax.checkpoints.train_state import TrainState
from hornet_jax.errors import FullDiskError, InputError, StorageError
from hornet_jax.files import PAUSES, is_full_disk, is_transient, make_folder
from hornet_jax.lock import Lock
from hornet_jax.paths import absolute, check_holds_checkpoints

_logger = logging.getLogger(__name__)

_UNFINISHED = ".orbax-checkpoint-tmp"
_CLEARING_SECONDS = 10.0  # in which the threads of a failed save stop writing
_BEING_WRITTEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.EBUSY)
_MOST_FAILURES = 3  # saves in a row, after which a run that has storage again is the better one


class Checkpoints:
  """The checkpoints below one directory, one folder a step.

  Use as a context manager: leaving it waits for the save under way.
  """

  def __init__(
    self,
    directory: epath.Path,
    keep: int,
    keep_best: int = 0,
    on_full_disk: str = "stop",
    lock: Lock | None = None,
    ranked_by: str = "",
    keep_steps: Collection[int] = (),
  ):
    """Opens the directory, clears what an interrupted save left there and finds the newest
    checkpoint that can be trusted.

    Args:
      directory: local or `gs://`; made where it is missing.
      keep: number of newest checkpoints to keep.
      keep_best: number of best checkpoints to keep besides.
      on_full_disk: what a save that found no space does: "stop" raises, "continue" warns and leaves
        it at the last good checkpoint. `save_last` raises always, and so do several processes.
      lock: lock on the workdir; who has lost it clears nothing away.
      ranked_by: the name of the metric by which some are the best; higher is better.
      keep_steps: steps whose checkpoints are kept besides.

    Raises:
      InputError: if there are checkpoints, but none that can be trusted, or the directory is one
        from which they could not be read.
      StorageError: if the storage fails.
    """
    check_holds_checkpoints(directory)
    self._directory = absolute(directory)  # Orbax refuses relative paths
    self._retention = (keep, keep_best, ranked_by, keep_steps)
    self._on_full_disk, self._lock = on_full_disk, lock or Lock()
    self._writer = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
    self._pending: concurrent.futures.Future[None] | None = None
    self._shown_restorable, self._failures = False, 0  # of saves in a row
    make_folder(self._directory)
    self._clear_unfinished()
    self._find_newest()

  def _find_newest(self) -> None:
    steps = find_steps(self._directory)
    self._walk = NewestValid(self._directory, steps[::-1])
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
    except (InputError, StorageError) as error:
      if exception_type is None:
        raise
      _logger.warning("%s", error)  # what is under way is the graver news
    finally:
      self._writer.shutdown()
      self._clear_unfinished()

  @property
  def latest_step(self) -> int | None:
    """Step of the newest checkpoint that can be trusted, or None; waits for a save under way."""
    self.settle()
    return self._latest_step

  @property
  def saved_step(self) -> int:
    """Number of updates that are safe by now; a save under way is not waited for."""
    return self._latest_step or 0

  def settle(self) -> None:
    """Returns once no save is under way; whether it failed is told by `wait`."""
    if self._pending:
      concurrent.futures.wait([self._pending])

  def save(self, step: int, state: TrainState, metrics: Mapping[str, float] | None = None) -> None:
    """Starts to write `state`; returns once it has been copied from the devices.

    A step that is safe already is left as it is, with the metrics that it was saved with. What
    else lies in its place is damaged, and replaced.

    Args:
      step: number of updates done.
      state: what to keep.
      metrics: numbers of its evaluation, by which the best is found; None where there was none.

    Raises:
      InputError: if the previous save failed, and will again until a person acts.
      StorageError: if it failed for another reason, and this run cannot go on without it.
    """
    try:
      self.wait()
    except StorageError as error:
      if not self._goes_on_after(error):
        raise
      _logger.warning("%s", error)
    if step == self._latest_step:
      return
    folder = StepFolder(step, self._directory / str(step))
    if jax.process_index() == 0 and os.path.islink(folder.path):
      delete(folder)  # Orbax would write to where it leads
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
      if not (isinstance(error, OSError) or is_full_disk(error) or is_transient(error)):
        raise
      failed = self._failed(step, error)
      if jax.process_count() > 1:  # which wait for this one
        raise failed from error
      self._pending = concurrent.futures.Future()
      self._pending.set_exception(failed)
    else:
      self._pending = self._writer.submit(self._complete, folder, response)

  def save_last(
    self, step: int, state: TrainState, metrics: Mapping[str, float] | None = None
  ) -> None:
    """Writes what the run ends with, and returns once it is safe.

    Where the storage fails for a while it is tried again: nothing follows that could be saved
    instead. See `save` for the arguments.

    Raises:
      InputError: if it cannot be saved until a person acts.
      StorageError: if every try failed; `FullDiskError` for lack of space.
    """
    for pause in (*PAUSES, None):
      self.save(step, state, metrics)
      try:
        self.wait()
        return
      except StorageError as error:
        # Several processes would have to agree on another try: a new start does that.
        if pause is None or isinstance(error, FullDiskError) or jax.process_count() > 1:
          raise
        _logger.warning("%s Again in %g s.", error, pause)
        time.sleep(pause)

  def _goes_on_after(self, error: StorageError) -> bool:
    """Whether a run goes on without the checkpoint that could not be saved."""
    if jax.process_count() > 1:  # the others may have saved it: they would not go on alike
      return False
    if isinstance(error, FullDiskError):
      return self._on_full_disk == "continue"
    return self._failures < _MOST_FAILURES

  def _complete(self, folder: StepFolder, response: Any) -> None:
    """Waits for Orbax to commit a step, vouches for it and deletes what it makes surplus."""
    try:
      response.result()  # returns once every process has written its part
      if jax.process_index() == 0:
        if not self._shown_restorable:
          self._shown_restorable = is_restorable(folder.path)
        write_manifest(folder.path, folder.step)
    except Exception as error:
      raise self._failed(folder.step, error) from error
    self._walk.left_out.pop(folder.step, None)
    self._failures = 0
    self._latest_step = folder.step
    if jax.process_index() == 0:
      self._delete_surplus()

  def _delete_surplus(self) -> None:
    """Deletes what need not be kept, once its successor is safe; what cannot go, goes later."""
    try:
      steps = find_steps(self._directory)
      states = states_of(steps, damaged=self._walk.left_out.keys())
      for folder in surplus(steps, states, *self._retention):
        delete(folder)
    except OSError as error:
      _logger.warning("older checkpoints stay for now: %s", error)

  def _failed(self, step: int, error: Exception) -> InputError | StorageError:
    """The one line for a save that failed; makes room by removing what there is of it."""
    self._failures += 1
    self._clear_unfinished()
    good = "none" if self._latest_step is None else f"step {self._latest_step}"
    failed = f"the checkpoint of step {step} could not be saved in {self._directory}"
    if is_full_disk(error):
      on = " Going on, as checkpoint.on_full_disk says." * (self._on_full_disk == "continue")
      return FullDiskError(
        f"{failed}: the disk is full. The last good checkpoint is {good}. Hint: make room, or "
        f"lower checkpoint.keep.{on}"
      )
    told = f"{failed}: {reason_of(error)}. The last good checkpoint is {good}."
    if is_transient(error):
      return StorageError(told)
    return InputError(f"{told} Hint: see to its rights and its folder, then start again.")

  def _clear_unfinished(self) -> None:
    """Removes what a save that failed or was killed has left."""
    if jax.process_index() != 0 or self._lock.is_lost:
      return
    deadline = time.monotonic() + _CLEARING_SECONDS
    while True:
      try:
        left = [path for path in self._directory.iterdir() if _UNFINISHED in path.name]
        for path in left:
          path.rmtree()
      except OSError as error:
        if error.errno not in _BEING_WRITTEN or time.monotonic() > deadline:
          _logger.warning("unfinished checkpoints stay until the next start: %s", error)
          return
        time.sleep(0.1)
      else:
        if not left:
          return

  def wait(self) -> None:
    """Returns once the save under way is complete.

    Raises:
      InputError: if it failed, and will again until a person acts.
      StorageError: if it failed otherwise; `FullDiskError` for lack of space.
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
      StorageError: if the storage fails.
    """
    if self._candidate is None or self._candidate[0].step != self.latest_step:
      self._find_newest()  # one was saved since
    assert self._candidate is not None, "there is a checkpoint to restore"
    candidates = itertools.chain([self._candidate], self._candidates)
    self._latest_step, state = load_first(
      self._walk, candidates, lambda path: load_state(path, abstract)
    )
    return self._latest_step, state
