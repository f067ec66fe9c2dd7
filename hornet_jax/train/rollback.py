"""Going back to a checkpoint where training broke down, and on with other data."""

import json
import logging

import jax
from etils import epath

from hornet_jax.train.files import write_file

_logger = logging.getLogger(__name__)


class Rollbacks:
  """The rollbacks of a run, kept in its workdir.

  An update that is not finite is never accepted, but finite ones may have ruined the
  parameters before. Everything drawn depends on the step alone, so that the same steps would
  fail again: a rollback leaves out the batches between the checkpoint and the failure, and
  the same steps are done with those after them.
  """

  def __init__(self, workdir: epath.Path):
    """Reads what there is."""
    self._path = workdir / "rollbacks.json"
    self._done = json.loads(self._path.read_text()) if self._path.exists() else []

  @property
  def skipped_batches(self) -> int:
    """By which the position in the data is ahead of the step."""
    return sum(done["failed"] - done["restored"] for done in self._done)

  @property
  def count(self) -> int:
    """Of those done, over all starts."""
    return len(self._done)

  def add(self, failed: int, restored: int, most: int) -> None:
    """Notes a rollback.

    Args:
      failed: step at which training broke down.
      restored: step of the checkpoint that it goes on from.
      most: rollbacks of a run.
    """
    self._done.append({"failed": failed, "restored": restored})
    if jax.process_index() == 0:
      write_file(self._path, json.dumps(self._done) + "\n")
    _logger.warning(
      "rollback %d of %d: step %d was not finite; back to step %d, without the %d batches between",
      *(self.count, most, failed, restored, failed - restored),
    )
