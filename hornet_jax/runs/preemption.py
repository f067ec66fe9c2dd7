"""This module turns Ctrl-C, SIGTERM and the like into a stop after one step on all processes."""

import signal
import threading

import jax
from jax.experimental import multihost_utils

from hornet_jax.exit_status import AGAIN, INTERRUPTED


class StopRequest:
  """A `StopRequest` is a context in which SIGINT and SIGTERM ask for a stop and raise nothing.

  Where `jax.distributed` is initialised, SIGTERM is JAX's: it tells all processes, which agree
  on a step. What else asks one of several processes to stop goes the same way. A second
  signal acts as usual. Outside the main thread, where Python delivers no signals, nothing is
  changed.

  Attributes:
    by: name of what asked, for messages.
    status: exit status of the command.
  """

  def __init__(self) -> None:
    self.by, self.status = "SIGTERM", AGAIN
    self._requested = False
    self._several = jax.process_count() > 1
    service = jax.config.jax_enable_preemption_service  # type: ignore[attr-defined]
    self._jax_agrees = jax.distributed.is_initialized() and service
    self._previous: dict[int, object] = {}

  def __enter__(self) -> "StopRequest":
    if threading.current_thread() is threading.main_thread():
      ours = [signal.SIGINT]
      if not self._jax_agrees:
        ours.append(signal.SIGTERM)
      for number in ours:
        self._previous[number] = signal.signal(number, self._handle)
    return self

  def __exit__(self, *exc_info) -> None:
    self._restore()

  def ask(self) -> None:
    """Asks all processes to stop soon."""
    first, self._requested = not self._requested, True
    if first and self._several and self._jax_agrees:
      signal.raise_signal(signal.SIGTERM)

  def reached(self, step: int) -> bool:
    """Returns whether this is the step to stop after; must be called after every step."""
    agreed = self._jax_agrees and multihost_utils.reached_preemption_sync_point(step)
    return agreed or (self._requested and not self._several)

  def _restore(self) -> None:
    for number, handler in self._previous.items():
      signal.signal(number, handler)  # type: ignore[arg-type]

  def _handle(self, number, frame) -> None:
    if number == signal.SIGINT:
      self.by, self.status = "Ctrl-C", INTERRUPTED
    self.ask()
    self._restore()
