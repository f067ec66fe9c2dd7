"""Turns Ctrl-C and SIGTERM into a request to stop after the current step."""

import signal
import threading


class StopRequest:
  """A context in which SIGINT and SIGTERM set `requested` instead of raising.

  A second signal acts as usual. Outside the main thread, where Python delivers no
  signals, nothing is changed.
  """

  def __init__(self) -> None:
    self.requested = False
    self._previous: dict[int, object] = {}

  def __enter__(self) -> "StopRequest":
    if threading.current_thread() is threading.main_thread():
      for number in (signal.SIGINT, signal.SIGTERM):
        self._previous[number] = signal.signal(number, self._handle)
    return self

  def __exit__(self, *exc_info) -> None:
    self._restore()

  def _restore(self) -> None:
    for number, handler in self._previous.items():
      signal.signal(number, handler)  # type: ignore[arg-type]

  def _handle(self, number, frame) -> None:
    self.requested = True
    self._restore()
