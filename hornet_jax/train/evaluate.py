"""Metrics over a whole split, every example counted once."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from hornet_jax.checkpoints.train_state import TrainState
from hornet_jax.data.datasets import Split
from hornet_jax.data.pipeline import Batch
from hornet_jax.errors import InputError
from hornet_jax.parallel.mesh import batch_sharding, to_devices
from hornet_jax.train.by_shape import ByShape
from hornet_jax.train.input_pipeline import InputPipeline
from hornet_jax.train.metric import Metric
from hornet_jax.train.ranking import EVAL, EVAL_EMA
from hornet_jax.train.task import Task
from hornet_jax.train.trainer import Trainer

Evaluation = tuple[dict[str, float], Metric]
"""Numbers as logged, and the metric of the evaluation split with the averaged weights."""


def evaluate_state(
  trainer: Trainer, inputs: InputPipeline, eval_step: ByShape, state: TrainState
) -> Evaluation:
  """Evaluates with the raw and with the averaged weights, on every evaluation split.

  Args:
    trainer: trainer of the run.
    inputs: input pipeline of the run.
    eval_step: compiled for the batches of `inputs`.
    state: what is evaluated.
  """
  metrics: dict[str, float] = {}
  weights = {EVAL: state.variables(), EVAL_EMA: state.ema_variables()}
  averaged: Metric | None = None
  for split in (*inputs.splits.other_evals, inputs.splits.eval):
    other = "" if split is inputs.splits.eval else f"{split.name}/"
    of_weights = evaluate_weights(trainer, inputs, eval_step, weights, split)
    for prefix, metric in of_weights.items():
      computed = metric.compute()
      if trainer.task.primary not in computed:
        raise InputError(
          f"`primary` of {type(trainer.task).__name__} must be what its metric computes: expected "
          f"one of {', '.join(computed)}, got {trainer.task.primary!r}."
        )
      for name, value in computed.items():
        metrics[f"{prefix}/{other}{name}"] = value
    averaged = of_weights[EVAL_EMA]
  assert averaged is not None, "the evaluation split comes last"
  return metrics, averaged


def evaluate_weights(
  trainer: Trainer,
  inputs: InputPipeline,
  eval_step: ByShape,
  weights: Mapping[str, Mapping[str, Any]],
  split: Split,
) -> dict[str, Metric]:
  """Measures a run's raw and averaged weights on a split: once where there is no average.

  Args:
    trainer: trainer of the run.
    inputs: input pipeline of the run.
    eval_step: compiled for the batches of `inputs`.
    weights: name -> what the model is applied with, on the devices.
    split: one of `inputs.splits`.

  Returns:
    Name -> metric; without an average it is the same one.
  """
  names, variables = list(weights), list(weights.values())
  if not trainer.step_settings().averages:
    [metric] = evaluate_split(trainer, inputs, eval_step, variables[:1], split)
    return dict.fromkeys(names, metric)
  metrics = evaluate_split(trainer, inputs, eval_step, variables, split)
  return dict(zip(names, metrics, strict=True))


def evaluate_split(
  trainer: Trainer,
  inputs: InputPipeline,
  eval_step: ByShape,
  variables: Sequence[Mapping[str, Any]],
  split: Split,
) -> list[Metric]:
  """Measures a model with several variables on every example of a split, which is read once.

  Args:
    trainer: trainer of the run.
    inputs: input pipeline of the run.
    eval_step: compiled for the batches of `inputs`.
    variables: what the model is applied with each time, on the devices.
    split: one of `inputs.splits`.
  """
  eval_steps = [functools.partial(eval_step, of_model) for of_model in variables]
  with contextlib.closing(inputs.eval_batches(split)) as batches:
    return predict_split(
      eval_steps, batches, inputs.eval_batch_size, trainer.mesh, trainer.task, split
    )


def predict_split(
  eval_steps: Sequence[Callable[[dict[str, jax.Array]], dict[str, jax.Array]]],
  batches: Iterator[Batch],
  batch_size: int,
  mesh: Mesh,
  task: Task,
  split: Split,
) -> list[Metric]:
  """Runs a split, read once, through several models, such as one with several weights.

  Results come back replicated, so every process holds those of the whole split and the
  sums do not depend on the mesh.

  Args:
    eval_steps: step of each model: batch -> results, jitted, with replicated outputs.
    batches: this process's rows of the split's batches, padding of weight 0.
    batch_size: rows of the global batch.
    mesh: the devices.
    task: what measures the results.
    split: what is read.

  Returns:
    The metric of each model, which has seen every example that counts, in the order of
    the batches.
  """
  sharding = batch_sharding(mesh)
  metrics = [task.metric(split) for _ in eval_steps]

  def gather(results: Sequence[Mapping[str, jax.Array]]) -> None:
    for metric, of_model in zip(metrics, jax.device_get(results), strict=True):
      metric.update(_counted(of_model))

  running = None
  for batch in batches:
    placed = to_devices(batch, batch_size, sharding)
    dispatched = [eval_step(placed) for eval_step in eval_steps]
    # Fetched one batch late: the device stays busy and batches do not pile up on it.
    if running is not None:
      gather(running)
    running = dispatched
  assert running is not None, "a split is not empty"
  gather(running)
  return metrics


def _counted(results: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """The rows that count."""
  counted = results["weight"] > 0
  return {name: values[counted] for name, values in results.items() if name != "weight"}
