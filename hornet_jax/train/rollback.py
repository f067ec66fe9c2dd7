"""Going back to a checkpoint where training broke down, and on with other data."""

import json
import logging

import jax
from etils import epath

from hornet_jax.errors import DivergedError
from hornet_jax.train.checkpoint import Checkpoints
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

  def add(self, error: DivergedError, checkpoints: Checkpoints, most: int) -> int:
    """Notes a rollback to the newest checkpoint; raises `error` where that cannot be.

    Args:
      error: of the step that failed.
      checkpoints: of the run.
      most: rollbacks of a run.

    Returns:
      The step of the checkpoint.
    """
    restored = checkpoints.latest_step
    if restored is None or len(self._done) >= most:
      raise error
    self._done.append({"failed": error.step, "restored": restored})
    if jax.process_index() == 0:
      write_file(self._path, json.dumps(self._done) + "\n")
    _logger.warning(
      "rollback %d of %d: step %d was not finite; back to step %d, without the %d batches between",
      len(self._done),
      most,
      error.step,
      restored,
      error.step - restored,
    )
    return restored
