"""This module does work beside the training loop, whose failures never end it."""

import logging
import threading
from collections.abc import Callable, Sequence

_logger = logging.getLogger(__name__)


class Background:
  """`Background` is a thread that does some jobs whenever it is woken.

  Each job must catch up with everything that is due, so that the next time makes up for a failure.
  A failure is logged once, and again only after the job has succeeded.
  """

  def __init__(self, jobs: Sequence[Callable[[], None]]):
    """Starts the thread, which does nothing before `wake`."""
    self._failed = dict.fromkeys(jobs, False)
    self._wake = threading.Event()
    self._ending = False
    self._thread = threading.Thread(target=self._run, daemon=True)
    self._thread.start()

  def wake(self) -> None:
    """Makes the thread do every job soon."""
    self._wake.set()

  def close(self, seconds: float) -> bool:
    """Does every job a last time and ends.

    Args:
      seconds: longest time to wait.

    Returns:
      Whether every job was done.
    """
    self._ending = True
    self.wake()
    self._thread.join(seconds)
    return not self._thread.is_alive() and not any(self._failed.values())

  def _run(self) -> None:
    last = False
    while not last:
      self._wake.wait()
      self._wake.clear()
      last = self._ending
      for job in self._failed:
        self._do(job)

  def _do(self, job: Callable[[], None]) -> None:
    try:
      job()
    except Exception as error:  # of whatever kind: a run costs more than its record
      if not self._failed[job]:
        _logger.warning("%s The run goes on; what is missing is written later.", error)
      self._failed[job] = True
    else:
      self._failed[job] = False
