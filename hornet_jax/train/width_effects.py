"""Does what suits a narrow model suit a wide one? Short trainings at several widths tell."""

import contextlib
import copy
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hornet_jax.checkpoints.train_state import TrainState
from hornet_jax.config.width import fields_at_width
from hornet_jax.models.apply import apply
from hornet_jax.parallel.mesh import batch_sharding, to_devices
from hornet_jax.train.input_pipeline import InputPipeline
from hornet_jax.train.set_up import set_up
from hornet_jax.train.step import Batch
from hornet_jax.train.trainer import Trainer

_WARMUP = 0.1  # share of the steps
_JUDGED = 0.25  # share of the steps, the last ones, whose loss counts


def activation_scales(
  config: Mapping[str, Any], widths: Sequence[int], steps: int, seeds: int
) -> dict[str, list[float]]:
  """Measures mean |x| of every block, the norm and the logits after a few steps at full rate.

  Args:
    config: nested, with the keys of `config.schema`; its learning rate is taken without warm-up.
    widths: values of `base_dim`.
    steps: number of updates before the measurement; all widths see the same batches.
    seeds: number of draws of the initial parameters, over which the scales are averaged: those
      of narrow models scatter.

  Returns:
    Name of the intermediate -> its scale at each width, on the first batch.

  Raises:
    InputError: if there is no such model at a width.
  """
  scales: dict[str, list[float]] = {}
  for width in widths:
    trainer, inputs = set_up(_at_width(config, width), jax.devices()[:1])
    rate, step = trainer.config["optimizer"]["learning_rate"], _compile(trainer, 1)
    with _batches(trainer, inputs) as batches:
      first = next(batches)
    measured = []
    for seed in range(seeds):
      state, _ = _train(trainer, inputs, step, rate, steps, trainer.create_state(seed))
      measured.append(_measure(trainer, state, first))
    for name in measured[0]:
      scales.setdefault(name, []).append(float(np.mean([of_seed[name] for of_seed in measured])))
  return scales


def losses_by_rate(
  config: Mapping[str, Any], width: int, rates: Sequence[float], steps: int, seeds: int
) -> list[float]:
  """Measures the training loss that each learning rate gives after a number of steps.

  The rate grows over a tenth of the steps and then stays; the loss is the mean over the last
  quarter of them. It is infinite where training broke down.

  Args:
    config: nested, with the keys of `config.schema`.
    width: value of `base_dim`.
    rates: learning rates.
    steps: number of updates.
    seeds: number of draws of the initial parameters, over which the loss is averaged.

  Raises:
    InputError: if there is no such model at the width.
  """
  trainer, inputs = set_up(_at_width(config, width), jax.devices()[:1])
  step = _compile(trainer, max(round(_WARMUP * steps), 1))
  judged = max(round(_JUDGED * steps), 1)
  sums = np.zeros(len(rates))
  for seed in range(seeds):
    start = trainer.create_state(seed)
    for i, rate in enumerate(rates):
      _, losses = _train(trainer, inputs, step, rate, steps, start)
      sums[i] += np.mean(jax.device_get(losses[-judged:]))
  return [float(total) / seeds if np.isfinite(total) else math.inf for total in sums]


def with_parametrization(
  config: Mapping[str, Any], parametrization: str, base_width: int
) -> dict[str, Any]:
  """Gives a config with another `optimizer.parametrization`.

  Args:
    config: nested, with the keys of `config.schema`.
    parametrization: one of the key's choices.
    base_width: width that it is relative to; of no effect for `"standard"`.
  """
  changed = copy.deepcopy(dict(config))
  is_standard = parametrization == "standard"
  changed["optimizer"]["parametrization"] = parametrization
  changed["optimizer"]["base_width"] = 0 if is_standard else base_width
  return changed


def _at_width(config: Mapping[str, Any], width: int) -> dict[str, Any]:
  changed = copy.deepcopy(dict(config))
  model = changed["model"]
  model["fields"] = fields_at_width(model["variant"], model["fields"], width)
  model["scan"] = False  # which hands out the last block alone
  return changed


_Step = Callable[[float, TrainState, Batch], tuple[TrainState, dict[str, Array]]]


def _compile(trainer: Trainer, warmup_steps: int) -> _Step:
  """Jits the step (peak rate, state, batch), for all rates at once."""

  def step(peak: Float[Array, ""], state: TrainState, batch: Batch) -> Any:
    train_step = trainer.train_step(lambda i: peak * jnp.minimum((i + 1) / warmup_steps, 1.0))
    return train_step(state, batch)

  return jax.jit(step, donate_argnums=1)


def _train(
  trainer: Trainer, inputs: InputPipeline, step: _Step, rate: float, count: int, start: TrainState
) -> tuple[TrainState, list[Array]]:
  """Returns the state after some updates from a start, and the loss before each."""
  state, losses = jax.tree.map(jnp.copy, start), []  # an update takes its memory
  with _batches(trainer, inputs) as batches, jax.set_mesh(trainer.mesh):
    for batch in itertools.islice(batches, count):
      state, metrics = step(rate, state, batch)
      losses.append(metrics["loss"])
  return state, losses


@contextlib.contextmanager
def _batches(trainer: Trainer, inputs: InputPipeline) -> Iterator[Iterator[Batch]]:
  """Gives the training batches, from the first on."""
  size, sharding = trainer.config["data"]["batch_size"], batch_sharding(trainer.mesh)
  with contextlib.closing(inputs.train_batches(0)) as batches:
    yield (to_devices(batch, size, sharding) for batch in batches)


def _measure(trainer: Trainer, state: TrainState, batch: Batch) -> dict[str, float]:
  """Measures mean |x| of the intermediates, in the order in which they are computed."""
  names: list[str] = []
  stages = trainer.model.stacks().keys()  # whose outputs are those of their last blocks

  def measure(state: TrainState, batch: Batch) -> list[Array]:
    images = trainer.task.inputs(batch, None, train=False)["image"]
    (_, out), _ = apply(trainer.model, state.variables(), images)
    names.extend(name for name in out if name not in stages)  # a dictionary would be sorted
    return [jnp.mean(jnp.abs(out[name])) for name in names]

  values = jax.device_get(jax.jit(measure)(state, batch))
  return {name: float(value) for name, value in zip(names, values, strict=True)}
