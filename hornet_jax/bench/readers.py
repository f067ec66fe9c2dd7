"""This module times batches of training views by the threads and processes that read."""

import contextlib
import statistics
import time

from hornet_jax.bench.input import RAND_AUGMENT, SIZE, photographs
from hornet_jax.bench.result import Result
from hornet_jax.data.datasets import Split
from hornet_jax.data.pipeline import train_batches
from hornet_jax.data.views.augment import Augmentation
from hornet_jax.data.views.eval_view import EvalView
from hornet_jax.tasks import Classification

READERS = [(1, 0), (2, 0), (4, 0), (1, 1), (1, 2), (2, 2)]
"""Threads of each process, and processes; 0 for this one alone."""

_BATCH_SIZE = 64
_WARM_UP = 4  # batches


def time_readers(num_batches: int, rounds: int) -> Result:
  """Times the whole pipeline, from JPEGs of 500x375 with RandAugment to 224.

  Args:
    num_batches: number of batches counted in each round, after some that are not.
    rounds: number of interleaved rounds.
  """
  source = [{"image": image, "label": 0} for image in photographs(4 * _BATCH_SIZE)]
  split = Split("photographs", source, ["photograph"])
  augmentation = Augmentation("random_resized", flip_rate=0.5, rand_augment=RAND_AUGMENT)
  task = Classification(1, EvalView(SIZE, 0.875), augmentation)
  rates: dict[tuple[int, int], list[float]] = {entry: [] for entry in READERS}
  for _ in range(rounds):
    for threads, processes in READERS:
      batches = train_batches(
        split,
        task.load,
        task.schema,
        batch_size=_BATCH_SIZE,
        seed=0,
        num_threads=threads,
        num_processes=processes,
      )
      with contextlib.closing(batches):
        for _ in range(_WARM_UP * max(processes, 1)):
          next(batches)
        begin = time.perf_counter()
        for _ in range(num_batches):
          next(batches)
        seconds = time.perf_counter() - begin
      rates[threads, processes].append(num_batches * _BATCH_SIZE / seconds)
  rows = [
    {
      "threads": threads,
      "processes": processes,
      "median": statistics.median(of),
      "min": min(of),
      "max": max(of),
    }
    for (threads, processes), of in rates.items()
  ]
  title = f"batches of training views of {SIZE} with RandAugment, images/s"
  return Result(title, rows, ["0 processes: read in the process that trains"])
