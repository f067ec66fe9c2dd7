"""One update, and one evaluation, of a batch."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from hornet_jax.data.erase import random_erase
from hornet_jax.data.mix import MixSettings, draw_mix, mix_batch
from hornet_jax.models import HorNet
from hornet_jax.models.parallel import gather_kernels
from hornet_jax.train.accumulation import accumulate
from hornet_jax.train.ema import update_ema
from hornet_jax.train.losses import (
  cross_entropy,
  smoothed_targets,
  soft_cross_entropy,
)
from hornet_jax.train.state import TrainState

Batch = dict[str, Array]
Preprocess = Callable[[Array], Array]


@dataclasses.dataclass(frozen=True)
class StepSettings:
  """What an update is made of, besides the model and the optimiser.

  Attributes:
    label_smoothing: share of the target spread over all classes.
    mixing: of mixup and cutmix, which come after the erasing, as in timm.
    erasing_rate: see `random_erase`.
    accumulation_steps: micro-batches whose gradients are summed, see `accumulate`.
    micro_step_clip_norm: see `accumulate`; 0 for none.
    ema_decay: d of ema = d ema + (1 - d) params.
    seed: of everything that is drawn.
  """

  label_smoothing: float
  mixing: MixSettings
  erasing_rate: float
  accumulation_steps: int
  micro_step_clip_norm: float
  ema_decay: float
  seed: int


def make_train_step(
  model: HorNet,
  tx: optax.GradientTransformation,
  schedule: optax.Schedule,
  preprocess: Preprocess,
  settings: StepSettings,
  num_devices: int = 1,
  trained: Callable[[Any], Any] | None = None,
) -> Callable[[TrainState, Batch], tuple[TrainState, dict[str, Array]]]:
  """Builds (state, batch) -> (state, metrics), to be jitted.

  The loss is the weighted mean over the global batch, so that on several devices the
  compiler sums losses and gradients over all of them. Where loss, gradient or learning
  rate are not finite the update is skipped: parameters, averages and moments stay, only the
  step counts on. Unlike `optax.apply_if_finite`, no such update is ever accepted; whoever
  reads the metrics decides when to stop. What becomes of finite gradients is for them to
  judge, too: `param_norm` is that of the new parameters.

  Args:
    model: what is trained.
    tx: the optimiser without its learning rate, whose updates point downhill.
    schedule: learning rate of each step.
    preprocess: uint8 images to the model's input.
    settings: the rest.
    num_devices: over which the rows of a batch are spread.
    trained: params -> tree of bools, as the optimiser was given; no gradient is computed
      for the others.
  """

  def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
    keys = example_keys(settings.seed, state.step, batch["image"].shape[0])
    total_weight = jnp.maximum(jnp.sum(batch["weight"]), 1e-8)

    def loss_fn(params: Any, rows: tuple[Batch, Key[Array, "b"]]) -> Array:
      if trained is not None:
        params = jax.tree.map(
          lambda p, is_trained: p if is_trained else jax.lax.stop_gradient(p),
          params,
          trained(params),
        )
      images, targets, _ = training_view(rows[0], rows[1], model.num_classes, preprocess, settings)
      logits, _ = apply(model, params, images, train=True, keys=rows[1])
      return jnp.sum(soft_cross_entropy(logits, targets) * rows[0]["weight"]) / total_weight

    loss, grads, grad_norm = accumulate(
      jax.value_and_grad(loss_fn),
      state.params,
      (batch, keys),
      steps=settings.accumulation_steps,
      num_devices=num_devices,
      clip_norm=settings.micro_step_clip_norm,
    )
    learning_rate = jnp.asarray(schedule(state.step))

    def update(params: Any, ema_params: Any, opt_state: Any) -> tuple[Any, Any, Any]:
      updates, opt_state = tx.update(grads, opt_state, params)
      params = jax.tree.map(lambda p, u: p + learning_rate * u, params, updates)
      return params, update_ema(ema_params, params, settings.ema_decay), opt_state

    metrics = {"loss": loss, "grad_norm": grad_norm, "learning_rate": learning_rate}
    finite = jnp.all(jnp.isfinite(jnp.stack([*metrics.values()])))
    # A branch, not a choice between two states: each array is read and written once, in place.
    params, ema_params, opt_state = jax.lax.cond(
      finite, update, lambda *kept: kept, state.params, state.ema_params, state.opt_state
    )
    skipped = state.skipped + ~finite
    in_a_row = jnp.where(finite, 0, state.skipped_in_a_row + 1)
    metrics |= {
      "param_norm": optax.tree.norm(params),
      "skipped": skipped,
      "skipped_in_a_row": in_a_row,
    }
    step = state.step + 1
    return TrainState(step, params, ema_params, opt_state, skipped, in_a_row), metrics

  return train_step


def apply(
  model: HorNet, params: Any, images: Float[Array, "B H W C"], **how: Any
) -> tuple[Float[Array, "B K"], dict[str, Array]]:
  """`model.apply`, with kernels that lie in parts made whole where they are needed.

  The blocks of a stage do so themselves, one at a time.
  """
  if model.gather:
    outside = {name: tree for name, tree in params.items() if not name.startswith("stage_")}
    dtypes = {"head": jnp.float32}  # as the classifier computes
    params = params | {
      name: gather_kernels({name: tree}, dtypes.get(name, model.dtype))[name]
      for name, tree in outside.items()
    }
  return model.apply({"params": params}, images, **how)


def training_view(
  batch: Batch,
  keys: Key[Array, "B"],
  num_classes: int,
  preprocess: Preprocess,
  settings: StepSettings,
) -> tuple[Float[Array, "B H W C"], Float[Array, "B K"], Float[Array, "B"]]:
  """Images and targets as the model is trained on them: normalised, erased and mixed.

  Returns:
    The images, the targets, and the share of each row's own image; 1 where it is not mixed.
  """
  images = random_erase(keys, preprocess(batch["image"]), settings.erasing_rate)
  targets = smoothed_targets(batch["label"], num_classes, settings.label_smoothing)
  if settings.mixing.active:
    mix = draw_mix(keys, images.shape[1:3], settings.mixing)
    return mix_batch(images, targets, batch["weight"], mix)
  return images, targets, jnp.ones_like(batch["weight"])


def example_keys(seed: int, step: Int[Array, ""], batch_size: int) -> Key[Array, "B"]:
  """One key per row of the global batch, from the seed, the step and the row."""
  key = jax.random.fold_in(jax.random.key(seed), step)
  return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(batch_size))


def make_eval_step(
  model: HorNet, preprocess: Preprocess
) -> Callable[[Any, Batch], dict[str, Array]]:
  """Builds (params, batch) -> `example_results` and what identifies each example."""

  def eval_step(params: Any, batch: Batch) -> dict[str, Array]:
    logits, _ = apply(model, params, preprocess(batch["image"]))
    passed_on = {key: batch[key] for key in ("label", "weight", "index")}
    return passed_on | example_results(logits, batch["label"])

  return eval_step


def example_results(logits: Float[Array, "B K"], labels: Int[Array, "B"]) -> dict[str, Array]:
  """Loss, prediction, its probability and the rank of the true class of each example.

  The rank is the number of classes ahead of the true one: 0 is right, below 5 is right
  among the top five. Of equal logits the lower class is ahead, as in argmax; a NaN is
  ahead of everything, so that a broken model is never right.
  """
  true_logit = jnp.take_along_axis(logits, labels[:, None], axis=-1)
  lower_class = jnp.arange(logits.shape[-1])[None] < labels[:, None]
  ahead = (logits > true_logit) | ((logits == true_logit) & lower_class)
  ahead |= jnp.isnan(logits) | jnp.isnan(true_logit)
  return {
    "loss": cross_entropy(logits, labels),
    "prediction": jnp.argmax(logits, axis=-1),
    "confidence": jnp.max(jax.nn.softmax(logits), axis=-1),
    "rank": jnp.sum(ahead, axis=-1),
  }
