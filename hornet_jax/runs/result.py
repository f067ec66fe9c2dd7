"""This module writes `result.json`, which tells launchers how the last start of a run ended.

It is removed when a run starts and written last when it ends, whole. Where there is none the run
is under way, or its process was killed.
"""

import contextlib
import dataclasses
import datetime
import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from etils import epath

from hornet_jax.errors import DIVERGED, InputError, StorageError
from hornet_jax.exit_status import COMPLETE, describe, exit_status
from hornet_jax.files import exists, read_file, retried, write_file
from hornet_jax.lock import Lock

NAME = "result.json"

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class RunResult:
  """A `RunResult` says how a start of a run ended.

  Attributes:
    complete: whether all steps are done, and the report is written.
    step: number of updates that are saved: the same command goes on after them.
    total_steps: number of updates of the whole run.
    metrics: metrics of the newest evaluation, by their names in metrics.jsonl; empty before the
      first.
    config_hash: SHA-256 of the config, see `config_hash`.
    exit_status: exit status of the command, see `hornet_jax.exit_status`.
    reason: cause of the end, in one line.
    ended: time of the end, in UTC, as ISO 8601 has it.
    images_seen: number of images of the saved updates, each as often as it was shown; None in
      results of earlier versions.
    unique_images: number of different images among these; None likewise.
  """

  complete: bool
  step: int
  total_steps: int
  metrics: Mapping[str, float]
  config_hash: str
  exit_status: int
  reason: str
  ended: str
  images_seen: int | None = None
  unique_images: int | None = None

  @property
  def diverged(self) -> bool:
    """Tells whether the run was given up because its numbers were not finite."""
    return not self.complete and DIVERGED in self.reason


def read_result(workdir: epath.Path) -> RunResult | None:
  """Reads how the last start of a run ended; None where there is no result.

  Raises:
    InputError: if the file is no result of a run.
  """
  path = workdir / NAME
  if not exists(path):
    return None
  try:
    content = json.loads(read_file(path))
    names = [field.name for field in dataclasses.fields(RunResult)]
    earlier = dict.fromkeys(("images_seen", "unique_images"))  # have none
    return RunResult(**{name: (earlier | content)[name] for name in names})
  except (ValueError, KeyError, TypeError) as error:
    raise InputError(f"{path} must be the result of a run: {error!r}.") from error


def config_hash(config: Mapping[str, Any]) -> str:
  """Returns the SHA-256 of a config as JSON with sorted keys: equal configs have equal hashes.

  Args:
    config: nested config, of JSON types.
  """
  return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


@dataclasses.dataclass
class Ending:
  """An `Ending` collects while a run goes on what its result will say.

  Attributes:
    saved_step: function that returns the number of updates that are saved.
    images_by: function from a number of updates to `images_seen` and `unique_images`.
    metrics: metrics of the newest evaluation.
    stopped: exit status and reason of an end before the last step; None where there is none.
  """

  saved_step: Callable[[], int] = lambda: 0
  images_by: Callable[[int], Mapping[str, int]] = lambda step: {}
  metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
  stopped: tuple[int, str] | None = None


class _Writer:
  """A `_Writer` writes the result of one run once: the first to report knows why it ended."""

  def __init__(
    self, path: epath.Path, config: Mapping[str, Any], total_steps: int, lock: Lock, ending: Ending
  ):
    self._path, self._lock, self._ending = path, lock, ending
    self._config, self._total_steps = config, total_steps
    self._speaking = threading.Lock()
    self._spoken = False

  def write(self, status: int, reason: str) -> None:
    """Writes the result; raises `InputError` or `StorageError` where that fails."""
    with self._speaking:
      if self._spoken:
        return
      self._spoken = True
      step = self._ending.saved_step()
      result = RunResult(
        complete=status == COMPLETE,
        step=step,
        total_steps=self._total_steps,
        metrics=self._ending.metrics,
        config_hash=config_hash(self._config),
        exit_status=status,
        reason=reason,
        ended=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **self._ending.images_by(step),
      )
      self._lock.check()
      write_file(self._path, json.dumps(dataclasses.asdict(result), indent=2) + "\n")

  def try_to_write(self, status: int, reason: str) -> None:
    """Writes the result of a run that failed; a failure to write is logged, as the lesser news."""
    try:
      self.write(status, reason)
    except (InputError, StorageError) as error:
      _logger.warning("%s is not written: %s", self._path, error)


_under_way: list[_Writer] = []


def end_all(status: int, reason: str) -> None:
  """Writes the results of all runs of this process, which is about to end without them.

  Args:
    status: exit status of the process.
    reason: cause of the end, in one line.
  """
  for writer in list(_under_way):
    writer.try_to_write(status, reason)


@contextlib.contextmanager
def recorded(
  workdir: epath.Path,
  config: Mapping[str, Any],
  total_steps: int,
  lock: Lock,
  on_error: Callable[[BaseException], None] | None = None,
) -> Iterator[Ending]:
  """Writes the result of what happens inside, however it ends.

  Args:
    workdir: folder of the run.
    config: config of the run.
    total_steps: number of updates of the whole run.
    lock: lock of the workdir; a process that has lost it writes no result.
    on_error: function that is called with an error before it is written. If the failure of another
      process explains the error, it does not return: that failure ends this process, by `end_all`.

  Yields:
    The `Ending`, for the caller to fill in.
  """
  path = workdir / NAME
  retried(f"removing {path}", lambda: path.unlink(missing_ok=True))
  ending = Ending()
  writer = _Writer(path, config, total_steps, lock, ending)
  _under_way.append(writer)
  try:
    yield ending
  except BaseException as error:
    if on_error:
      on_error(error)
    writer.try_to_write(exit_status(error), describe(error))
    raise
  else:
    writer.write(*(ending.stopped or (COMPLETE, "complete")))
  finally:
    _under_way.remove(writer)
