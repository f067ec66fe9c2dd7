"""What a model costs."""

from hornet_jax.cost.accounting import StageCost, count_params, stage_costs

__all__ = ["StageCost", "count_params", "stage_costs"]
