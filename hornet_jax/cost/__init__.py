"""This room counts and estimates what a model costs: work, parameters, memory, time."""

from hornet_jax.cost.count import count, count_params, total
from hornet_jax.cost.hardware import PEAK_FLOPS, peak_training_rate
from hornet_jax.cost.model_work import StageCost, forward_work, stage_costs, training_work
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
