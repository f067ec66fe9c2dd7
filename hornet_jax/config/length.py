"""Lengths that a config states in epochs are counted in steps here."""

import math
from collections.abc import Mapping
from typing import Any


def count_steps(epochs: float, steps_per_epoch: int) -> int:
  """Counts the steps of a run, floor(epochs * steps_per_epoch).

  Args:
    epochs: passes over the images that are trained on.
    steps_per_epoch: floor(N / B), as in the official code.
  """
  # Rounding, so that 2.3 epochs of 100 steps are 230, not 229.
  return math.floor(round(epochs * steps_per_epoch, 6))


def cool_down_start(total_steps: int, decay_fraction: float) -> int:
  """Gives the number of steps after which a run begins to cool down.

  Args:
    total_steps: steps of the whole run.
    decay_fraction: share of them that the cool-down takes.
  """
  return total_steps - round(decay_fraction * total_steps)


def branch_steps(config: Mapping[str, Any], num_examples: int) -> list[int]:
  """Lists the steps at which the runs of `checkpoint.branch_epochs` begin to cool down.

  Args:
    config: nested, with the keys of `config.schema`.
    num_examples: N, number of images that are trained on.
  """
  steps_per_epoch = num_examples // config["data"]["batch_size"]
  fraction = config["optimizer"]["decay_fraction"]
  return [
    cool_down_start(count_steps(float(epochs), steps_per_epoch), fraction)
    for epochs in config["checkpoint"]["branch_epochs"]
  ]
