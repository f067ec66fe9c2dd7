"""A command in which something goes wrong: python faulty_run.py FAULT COMMAND ...

Each fault happens where it would in real life, in a process of its own.
"""

import errno
import itertools
import os
import sys
import time

import numpy as np

from hornet_jax import files
from hornet_jax.checkpoints import manager
from hornet_jax.cli.main import main
from hornet_jax.train.input_pipeline import InputPipeline

STEP = 7  # in which it happens


def change_batches(change):
  """Lets `change(step, batch)` see every batch of the training data."""
  read = InputPipeline.train_batches

  def train_batches(self, first):
    for step, batch in enumerate(read(self, first), first + 1):
      yield change(step, batch)

  InputPipeline.train_batches = train_batches


def stall(step, batch):
  if step >= STEP:
    time.sleep(600)
  return batch


def slow(step, batch):
  """Leaves time to do something to a run; no step is saved in vain meanwhile."""
  time.sleep(0.5 if step >= STEP else 0)
  return batch


def diverge(step, batch):
  return {**batch, "weight": np.full_like(batch["weight"], np.nan)} if step >= STEP else batch


def bug(step, batch):
  if step >= STEP:
    raise RuntimeError("a defect")
  return batch


def fail_saves(times, error):
  """The first saves do not reach the storage."""
  files.PAUSES = manager.PAUSES = (0.01, 0.01, 0.01)
  save, calls = manager.ocp.save_checkpointables_async, itertools.count()

  def failing(*arguments, **settings):
    if next(calls) < times:
      raise error
    return save(*arguments, **settings)

  manager.ocp.save_checkpointables_async = failing


RESET = ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
FAULTS = {
  "none": lambda: None,
  "stall": lambda: change_batches(stall),
  "slow": lambda: change_batches(slow),
  "diverge": lambda: change_batches(diverge),
  "bug": lambda: change_batches(bug),
  "storage": lambda: fail_saves(999, RESET),
  "storage for a while": lambda: fail_saves(2, RESET),
  "full disk": lambda: fail_saves(999, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))),
  "rights": lambda: fail_saves(999, PermissionError(errno.EACCES, os.strerror(errno.EACCES))),
}

if __name__ == "__main__":
  FAULTS[sys.argv[1]]()
  sys.exit(main(sys.argv[2:]))
