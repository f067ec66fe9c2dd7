"""This module limits the time that a run waits for a batch."""

import contextlib
import queue
import threading
from collections.abc import Generator, Iterator

from hornet_jax.data.pipeline import Batch
from hornet_jax.errors import StalledError


def with_timeout(
  batches: Generator[Batch, None, None], seconds: float, source: str
) -> Generator[Batch, None, None]:
  """Yields the same batches, fetched by a thread, as a reader that hangs cannot be interrupted.

  Args:
    batches: generator of batches, closed at the end, but not after a stall: that would hang too.
    seconds: longest time for a batch; 0 for no limit.
    source: description of dataset and readers, for the error.

  Raises:
    StalledError: if a batch takes longer.
  """
  if not seconds:
    yield from batches
    return
  fetched: queue.Queue[Batch | BaseException | None] = queue.Queue(maxsize=1)
  ended = threading.Event()
  thread = threading.Thread(target=_fetch, args=(batches, fetched, ended), daemon=True)
  thread.start()
  stalled = False
  try:
    while True:
      try:
        item = fetched.get(timeout=seconds)
      except queue.Empty:
        stalled = True
        raise StalledError(
          f"the next batch must come within data.stall_seconds, {seconds:g} s: {source} gave none. "
          "Hint: see whether its storage answers; raise data.num_threads, data.num_processes or "
          "data.stall_seconds where it is just slow."
        ) from None
      if item is None:
        return
      if isinstance(item, BaseException):
        raise item
      yield item
  finally:
    ended.set()
    if not stalled:
      while thread.is_alive():
        _discard(fetched)
        thread.join(0.01)
      batches.close()


def _fetch(batches: Iterator[Batch], fetched: queue.Queue, ended: threading.Event) -> None:
  try:
    for batch in batches:
      fetched.put(batch)
      if ended.is_set():
        return
    fetched.put(None)
  except BaseException as error:
    fetched.put(error)


def _discard(fetched: queue.Queue) -> None:
  with contextlib.suppress(queue.Empty):
    fetched.get_nowait()
