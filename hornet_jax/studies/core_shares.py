"""Trials that run at once on one machine have a share of its cores each."""

import os
from collections.abc import Set

_BINDS = hasattr(os, "sched_setaffinity")  # not on macOS, where they share all cores


def core_shares(count: int) -> list[Set[int]]:
  """Deals this process's cores out; where there are more shares than cores, some have all."""
  cores = sorted(os.sched_getaffinity(0)) if _BINDS else []
  return [set(cores[i::count]) or set(cores) for i in range(count)]


def keep_to(share: Set[int]) -> None:
  """Keeps the calling thread, and the processes that it starts, to some cores."""
  if _BINDS:
    os.sched_setaffinity(0, share)
