"""One update, and one evaluation, of a batch."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, Key

from hornet_jax.checkpoints.train_state import TrainState
from hornet_jax.errors import InputError
from hornet_jax.models import Architecture
from hornet_jax.models.apply import apply
from hornet_jax.parallel.accumulation import accumulate
from hornet_jax.train.ema import update_ema
from hornet_jax.train.task import Task

Batch = dict[str, Array]
TrainStep = Callable[[TrainState, Batch], tuple[TrainState, dict[str, Array]]]
_PASSED_ON = ("weight", "index", "key")


@dataclasses.dataclass(frozen=True)
class StepSettings:
  """What an update is made of, besides the model, the task and the optimiser.

  Attributes:
    accumulation_steps: micro-batches whose gradients are summed, see `accumulate`.
    micro_step_clip_norm: limit, see `accumulate`; 0 for none.
    ema_decay: d of ema = d ema + (1 - d) params.
    seed: seed of everything that is drawn.
  """

  accumulation_steps: int
  micro_step_clip_norm: float
  ema_decay: float
  seed: int

  @property
  def averages(self) -> bool:
    """Whether the averaged parameters are others than the parameters."""
    return self.ema_decay > 0


def make_train_step(
  model: Architecture,
  task: Task,
  tx: optax.GradientTransformation,
  schedule: optax.Schedule,
  settings: StepSettings,
  num_devices: int = 1,
  trainable: Callable[[Any], Any] | None = None,
) -> TrainStep:
  """Builds the step (state, batch) -> (state, metrics), to be jitted.

  The loss is the weighted mean over the global batch, so that on several devices the
  compiler sums losses and gradients over all of them. Where loss, gradient or learning
  rate are not finite the update is skipped: parameters, averages and moments stay, only the
  step counts on. Unlike `optax.apply_if_finite`, no such update is ever accepted; whoever
  reads the metrics decides when to stop. What becomes of finite gradients is for them to
  judge, too: `param_norm` is that of the new parameters.

  Args:
    model: what is trained.
    task: what it is trained for.
    tx: the optimiser without its learning rate, whose updates point downhill.
    schedule: learning rate of each step.
    settings: the rest.
    num_devices: number of devices over which the rows of a batch are spread.
    trainable: params -> tree of bools, as the optimiser was given; no gradient is computed
      for the others.
  """

  def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
    keys = example_keys(settings.seed, state.step, batch["image"].shape[0])
    total_weight = jnp.maximum(jnp.sum(batch["weight"]), 1e-8)

    def loss_fn(
      params: Any, model_state: Any, rows: tuple[Batch, Key[Array, "b"]]
    ) -> tuple[Array, Any]:
      if trainable is not None:
        params = jax.tree.map(
          lambda p, is_trainable: p if is_trainable else jax.lax.stop_gradient(p),
          params,
          trainable(params),
        )
      batch, keys = rows
      inputs = task.inputs(batch, keys, train=True)
      variables = {"params": params, **model_state}
      context = task.context(inputs)
      outputs, model_state = apply(
        model, variables, inputs["image"], context, train=True, keys=keys
      )
      loss = task.loss(outputs, inputs)
      _check_rows("loss", loss, batch["weight"].shape)
      return jnp.sum(loss * batch["weight"]) / total_weight, model_state

    (loss, new_model_state), grads, grad_norm = accumulate(
      jax.value_and_grad(loss_fn, has_aux=True),
      state.params,
      dict(state.model_state),
      (batch, keys),
      steps=settings.accumulation_steps,
      num_devices=num_devices,
      clip_norm=settings.micro_step_clip_norm,
    )
    learning_rate = jnp.asarray(schedule(state.step))

    def update(params: Any, ema_params: Any, opt_state: Any, _: Any) -> tuple[Any, Any, Any, Any]:
      updates, opt_state = tx.update(grads, opt_state, params)
      params = jax.tree.map(lambda p, u: p + learning_rate * u, params, updates)
      ema_params = update_ema(ema_params, params, settings.ema_decay)
      return params, ema_params, opt_state, new_model_state

    metrics = {"loss": loss, "grad_norm": grad_norm, "learning_rate": learning_rate}
    finite = jnp.all(jnp.isfinite(jnp.stack([*metrics.values()])))
    # A branch, not a choice between two states: each array is read and written once, in place.
    old = (state.params, state.ema_params, state.opt_state, dict(state.model_state))
    params, ema_params, opt_state, model_state = jax.lax.cond(
      finite, update, lambda *kept: kept, *old
    )
    skipped = state.skipped + ~finite
    in_a_row = jnp.where(finite, 0, state.skipped_in_a_row + 1)
    metrics |= {
      "param_norm": optax.tree.norm(params),
      "skipped": skipped,
      "skipped_in_a_row": in_a_row,
    }
    step = state.step + 1
    counts = (skipped, in_a_row)
    return TrainState(step, params, ema_params, opt_state, *counts, model_state), metrics

  return train_step


def example_keys(seed: int, step: Int[Array, ""], batch_size: int) -> Key[Array, "B"]:
  """Derives one key per row of the global batch from the seed, the step and the row."""
  key = jax.random.fold_in(jax.random.key(seed), step)
  return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(batch_size))


def make_eval_step(
  model: Architecture, task: Task
) -> Callable[[Any, Mapping[str, Array]], dict[str, Array]]:
  """Builds the step (variables, batch) -> `Task.predict` and what identifies each example."""

  def eval_step(variables: Mapping[str, Any], batch: Mapping[str, Array]) -> dict[str, Array]:
    inputs = task.inputs(batch, None, train=False)
    passed_on = {name: batch[name] for name in _PASSED_ON if name in batch}
    predicted = task.predict(lambda *given: apply(model, variables, *given)[0], inputs)
    for name, values in predicted.items():
      _check_rows(f"predict's {name!r}", values, (len(batch["weight"]), *values.shape[1:]))
    return passed_on | predicted

  return eval_step


def _check_rows(what: str, values: Array, expected: tuple[int, ...]) -> None:
  """Raises `InputError` where a task's result has not one row for each example."""
  if jnp.shape(values) != expected:
    raise InputError(
      f"a task's {what} must have a row for each example: expected the shape "
      f"{list(expected)}, got {list(jnp.shape(values))}."
    )
