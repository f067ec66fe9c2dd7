"""How training goes, and how it ended."""

import dataclasses
from typing import Any, NamedTuple

from hornet_jax.checkpoints.train_state import TrainState
from hornet_jax.exit_status import COMPLETE
from hornet_jax.runs.records import Record
from hornet_jax.train.evaluate import Evaluation
from hornet_jax.train.input_pipeline import Splits
from hornet_jax.train.metric import Metric
from hornet_jax.train.trainer import Trainer


@dataclasses.dataclass(frozen=True)
class Outcome:
  """An outcome says how a call of `train` ended.

  Attributes:
    step: number of updates done.
    trainer: trainer of the run.
    splits: splits that the run read.
    records: lines of metrics.jsonl.
    seconds: time that training took, over all starts.
    updated: whether this call did any of them.
    complete: whether the run reached its last step; the rest is None where it did not.
    metrics: numbers of the last evaluation, as logged.
    metric: metric of the evaluation split with the averaged weights; it has seen every example.
    ema_params: the averaged weights, on the host.
    exit_status: status with which the command ends, see `hornet_jax.exit_status`.
  """

  step: int
  trainer: Trainer
  splits: Splits
  records: list[Record]
  seconds: float
  updated: bool
  complete: bool
  metrics: dict[str, float] | None = None
  metric: Metric | None = None
  ema_params: Any = None
  exit_status: int = COMPLETE


class LoopResult(NamedTuple):
  """A loop result says where the updates ended.

  Attributes:
    step: number of updates done.
    state: after them.
    evaluation: evaluation of the last step; None before it.
    stopped_by: what asked the run to stop.
    status: status with which the command then ends.
  """

  step: int
  state: TrainState
  evaluation: Evaluation | None
  stopped_by: str = ""
  status: int = COMPLETE
