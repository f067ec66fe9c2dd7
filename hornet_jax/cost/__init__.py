"""What a model costs."""

from hornet_jax.cost.accounting import StageCost, count_params, stage_costs
from hornet_jax.cost.peaks import PEAK_FLOPS, peak_training_rate

__all__ = ["PEAK_FLOPS", "StageCost", "count_params", "peak_training_rate", "stage_costs"]
