"""This module tells the processes that read data what to do about signals."""

import multiprocessing
import os
import signal
import threading


def follow_parent(index: int, count: int) -> None:
  """Makes a worker end with the process that started it, and not before.

  Schedulers and terminals send signals to every process of a job: the one that trains saves
  and ends the others. Where it is killed, they end by themselves.

  Args:
    index: number of the worker.
    count: number of workers.
  """
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  signal.signal(signal.SIGTERM, signal.SIG_IGN)
  parent = multiprocessing.parent_process()
  assert parent, "a child"

  def wait() -> None:
    parent.join()
    os._exit(1)

  threading.Thread(target=wait, daemon=True).start()
