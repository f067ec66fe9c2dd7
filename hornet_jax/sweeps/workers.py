"""Several workers on one machine, each with its share of the cores, until one fails or all end."""

import concurrent.futures
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Set

from hornet_jax.studies.core_shares import core_shares, keep_to


def run_workers(count: int, worker: Callable[[], None], stopping: threading.Event) -> None:
  """Runs a worker in each of some threads; where one fails, the others stop too.

  Args:
    count: number of workers.
    worker: function that works until nothing is left.
    stopping: event that the workers look at; it is set where one fails.

  Raises:
    Exception: what the first worker that failed raised.
  """

  def run(share: Set[int]) -> None:
    keep_to(share)
    try:
      worker()
    except BaseException:
      stopping.set()
      raise

  with concurrent.futures.ThreadPoolExecutor(count) as pool:
    futures = [pool.submit(run, share) for share in core_shares(count)]
    for future in concurrent.futures.as_completed(futures):
      future.result()


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
  """Yields an event that SIGTERM and Ctrl-C set; a second Ctrl-C ends the process at once."""
  stopping = threading.Event()

  def stop(number: int, _: object) -> None:
    if number == signal.SIGINT and stopping.is_set():
      raise KeyboardInterrupt
    stopping.set()

  before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
  try:
    yield stopping
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
