"""Threads that read and decode, and end before the process does."""

import contextlib
import multiprocessing.pool
from collections.abc import Iterator


@contextlib.contextmanager
def thread_pool(count: int) -> Iterator[multiprocessing.pool.ThreadPool]:
  """Makes a pool of threads for the time of a `with`, after which all of them have ended.

  A pool's own `with` leaves threads at work. Where it is left early, such as by Ctrl-C or SIGTERM,
  the interpreter may end before they do: one that comes back from C++ then aborts the process.

  Args:
    count: number of threads.
  """
  pool = multiprocessing.pool.ThreadPool(count)
  try:
    yield pool
  finally:
    pool.terminate()  # each ends what it is at, and takes nothing more
    pool.join()
