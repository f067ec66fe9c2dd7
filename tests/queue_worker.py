"""A worker of a queue whose trials take a moment each, and write down who ran them."""

import contextlib
import os
import pathlib
import sys
import threading
import time

from hornet_jax.sweeps.queue import TRIAL, Queue
from hornet_jax.sweeps.worker import work


def main(storage, folder, seconds):
  def run(attributes, note):
    # A file by which the test sees whether two have had the same trial.
    with (pathlib.Path(folder) / attributes[TRIAL]).open("a") as file:
      file.write(f"{os.getpid()}\n")
    time.sleep(float(seconds))
    note("done", attributes["number"])
    return 1.0

  with contextlib.closing(Queue(storage, "sweep")) as queue:
    work(queue, run, threading.Event(), poll=0.2)


if __name__ == "__main__":
  main(*sys.argv[1:])
