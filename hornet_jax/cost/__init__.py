"""This room counts and estimates what a model costs: work, parameters, memory, time."""

from hornet_jax.cost.count import (
  StageCost,
  count,
  count_params,
  forward_work,
  stage_costs,
  total,
  training_work,
)
from hornet_jax.cost.hardware import PEAK_FLOPS, peak_training_rate
from hornet_jax.cost.operations import Work

__all__ = [
  "PEAK_FLOPS",
  "StageCost",
  "Work",
  "count",
  "count_params",
  "forward_work",
  "peak_training_rate",
  "stage_costs",
  "total",
  "training_work",
]
