"""This module takes a run that broke down back to a checkpoint, and on with other data."""

import contextlib
import itertools
import json
import logging
from collections.abc import Callable, Generator

import jax
from etils import epath

from hornet_jax.data.pipeline import Batch
from hornet_jax.errors import InputError
from hornet_jax.files import exists, read_file, write_file

_NAME = "rollbacks.json"

_logger = logging.getLogger(__name__)


class Rollbacks:
  """`Rollbacks` are those of one run, kept in its workdir.

  An update that is not finite is never accepted, but finite ones may have ruined the
  parameters before. Everything drawn depends on the step alone, so that the same steps would
  fail again: a rollback leaves out the batches between the checkpoint and the failure, and
  the same steps are done with those after them. They stay left out, from whichever checkpoint
  the run goes on later.

  Attributes:
    done: steps `failed` and `restored` of each, in their order.
  """

  def __init__(self, workdir: epath.Path):
    """Reads rollbacks.json, if there is one.

    Raises:
      InputError: if it cannot be read: without it batches that were left out would come again.
      StorageError: if the storage fails.
    """
    self._path = workdir / _NAME
    self.done: list[dict[str, int]] = []
    if not exists(self._path):
      return
    try:
      content = json.loads(read_file(self._path))
      if not isinstance(content, list):
        raise TypeError("no list")
      self.done = [
        {"failed": int(done["failed"]), "restored": int(done["restored"])} for done in content
      ]
    except (ValueError, KeyError, TypeError) as error:
      raise InputError(
        f"{self._path} must name the rollbacks of a run: {error!r}. Hint: put a copy in its place, "
        "or choose another --workdir."
      ) from error

  @property
  def count(self) -> int:
    """Returns the number of rollbacks, over all starts."""
    return len(self.done)

  def left_out(self) -> list[range]:
    """Returns the batches that are left out, counted from 0, in order and without overlaps."""
    ranges: list[range] = []
    for done in self.done:
      first = _batch_of(done["restored"], ranges) + 1
      new = range(first, _batch_of(done["failed"], ranges) + 1)
      outside = [left for left in ranges if left.stop <= new.start or left.start >= new.stop]
      ranges = sorted([*outside, new], key=lambda left: left.start)
    return ranges

  def batches(
    self, step: int, read: Callable[[int], Generator[Batch, None, None]]
  ) -> Generator[Batch, None, None]:
    """Yields the batches of all steps after `step`.

    Args:
      step: number of updates done.
      read: function that returns the batches from a number on, counted from 0.
    """
    left_out = self.left_out()
    first = _batch_of(step + 1, left_out)
    for left in left_out:
      if left.start > first:
        with contextlib.closing(read(first)) as batches:
          yield from itertools.islice(batches, left.start - first)
      first = max(first, left.stop)
    with contextlib.closing(read(first)) as batches:
      yield from batches

  def add(self, failed: int, restored: int, most: int) -> None:
    """Notes a rollback.

    Args:
      failed: step at which training broke down.
      restored: step of the checkpoint that it goes on from.
      most: largest number of rollbacks of a run.
    """
    self.done.append({"failed": failed, "restored": restored})
    if jax.process_index() == 0:
      write_file(self._path, json.dumps(self.done) + "\n")
    _logger.warning(
      "rollback %d of %d: step %d was not finite; back to step %d, without the %d batches between",
      *(self.count, most, failed, restored, failed - restored),
    )


def copy_rollbacks(source: epath.Path, target: epath.Path, step: int) -> None:
  """Gives a run those rollbacks of another one that came before a step which both have in common.

  Args:
    source: workdir of the run that had them.
    target: workdir of the run that goes on from its checkpoint.
    step: number of updates of that checkpoint.
  """
  before = [done for done in Rollbacks(source).done if done["restored"] < step]
  if before:
    write_file(target / _NAME, json.dumps(before) + "\n")


def _batch_of(step: int, left_out: list[range]) -> int:
  """Returns the batch of a step: the `step`-th that is not left out; -1 for step 0."""
  batch = step - 1
  for left in left_out:
    if left.start <= batch:
      batch += len(left)
  return batch
