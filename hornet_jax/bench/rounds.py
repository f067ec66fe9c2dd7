"""This module times functions in interleaved rounds."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax


def time_interleaved(
  candidates: Mapping[str, Callable[[], Any]],
  rounds: int,
  clock: Callable[[], float] = time.perf_counter,
  warm: bool = False,
) -> dict[str, list[float]]:
  """Times one call of every candidate a round; returns the seconds of each call.

  Taking turns lets a slow moment of the machine fall on all of them alike.

  Args:
    candidates: functions that return arrays, compiled already.
    rounds: number of counted rounds, after one that is not.
    clock: function that returns seconds; `time.process_time` counts those of the process on all
      cores.
    warm: whether each counted call follows one of the same candidate that is not: where candidates
      differ in size, the largest leaves the memory to the next one as that does not use it.
  """
  seconds: dict[str, list[float]] = {name: [] for name in candidates}
  for counted in range(rounds + 1):
    for name, call in candidates.items():
      if warm:
        jax.block_until_ready(call())
      begin = clock()
      jax.block_until_ready(call())
      if counted:
        seconds[name].append(clock() - begin)
  return seconds


def ratio(baseline: list[float], candidate: list[float]) -> float:
  """Returns the median over rounds of baseline time / candidate time: above 1 is faster."""
  return statistics.median(b / c for b, c in zip(baseline, candidate, strict=True))
