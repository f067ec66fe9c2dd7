"""What changes during training, and what a checkpoint therefore holds."""

import dataclasses
from typing import Any

import jax


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
  """Everything that a checkpoint holds; arrays, or what describes them abstractly.

  Attributes:
    step: number of updates done, int32 [].
    params: parameters, float32; with `Execution.scan` as `stack_blocks` has them.
    ema_params: their moving average, float32.
    opt_state: state of the optimiser.
    skipped: number of updates left out because they were not finite, int32 [].
    skipped_in_a_row: skipped updates just before this state, int32 [].
    model_state: collections that the model changes itself, such as batch statistics; empty where
      it has none.
  """

  step: Any
  params: Any
  ema_params: Any
  opt_state: Any
  skipped: Any
  skipped_in_a_row: Any
  model_state: Any = dataclasses.field(default_factory=dict)

  def variables(self) -> dict[str, Any]:
    """Gives what the model is applied with."""
    return {"params": self.params, **self.model_state}

  def ema_variables(self) -> dict[str, Any]:
    """Gives the same with the averaged parameters."""
    return {"params": self.ema_params, **self.model_state}
