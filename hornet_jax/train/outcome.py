"""How training goes, and how it ended."""

import dataclasses
from typing import Any, NamedTuple

from hornet_jax.train.evaluate import Predictions
from hornet_jax.train.experiment import Experiment
from hornet_jax.train.metrics import Record
from hornet_jax.train.state import TrainState

Evaluation = tuple[dict[str, float], Predictions]
"""Metrics as logged, and the predictions with the averaged weights."""


@dataclasses.dataclass(frozen=True)
class Outcome:
  """How a call of `train` ended.

  Attributes:
    step: number of updates done.
    experiment: the objects of the run.
    records: of metrics.jsonl.
    seconds: that training took, over all starts.
    updated: whether this call did any of them.
    complete: whether the run reached its last step; the rest is None where it did not.
    metrics: of the last evaluation, as logged.
    predictions: of the evaluation split, with the averaged weights.
    ema_params: the averaged weights, on the host.
    interrupted: whether it stopped by Ctrl-C in this process.
  """

  step: int
  experiment: Experiment
  records: list[Record]
  seconds: float
  updated: bool
  complete: bool
  metrics: dict[str, float] | None = None
  predictions: Predictions | None = None
  ema_params: Any = None
  interrupted: bool = False


class Reached(NamedTuple):
  """Where the updates ended: `evaluation` is None before the last step."""

  step: int
  state: TrainState
  evaluation: Evaluation | None
  interrupted: bool = False


def evaluate_state(experiment: Experiment, eval_step, state: TrainState) -> Evaluation:
  """Evaluates with the raw and with the averaged weights, on every evaluation split.

  Args:
    experiment: of the run.
    eval_step: compiled.
    state: to evaluate.
  """
  metrics: dict[str, float] = {}
  weights = {"eval": state.params, "eval_ema": state.ema_params}
  averaged: Predictions | None = None
  for split in (*experiment.other_eval_splits, experiment.eval_split):
    other = "" if split is experiment.eval_split else f"{split.name}/"
    of_weights = experiment.predict(eval_step, list(weights.values()), split)
    for prefix, predictions in zip(weights, of_weights, strict=True):
      for name, value in predictions.metrics().items():
        metrics[f"{prefix}/{other}{name}"] = value
    averaged = of_weights[-1]
  assert averaged is not None, "the evaluation split comes last"
  return metrics, averaged
