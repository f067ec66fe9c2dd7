"""Turns Ctrl-C, SIGTERM and other reasons into a stop after a step, the same on all processes."""

import signal
import threading

import jax
from jax.experimental import multihost_utils


class StopRequest:
  """A context in which SIGINT and SIGTERM are requests to stop, instead of raising.

  Where `jax.distributed` is initialised, SIGTERM is JAX's: it tells all processes, which agree
  on a step. What else asks one of several processes to stop goes the same way. A second
  signal acts as usual. Outside the main thread, where Python delivers no signals, nothing is
  changed.

  Attributes:
    interrupted: whether this process was asked by Ctrl-C.
  """

  def __init__(self) -> None:
    self.interrupted = False
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
    """Whether this is the step to stop after; to be called after every step."""
    agreed = self._jax_agrees and multihost_utils.reached_preemption_sync_point(step)
    return agreed or (self._requested and not self._several)

  def _restore(self) -> None:
    for number, handler in self._previous.items():
      signal.signal(number, handler)  # type: ignore[arg-type]

  def _handle(self, number, frame) -> None:
    self.interrupted = number == signal.SIGINT
    self.ask()
    self._restore()
