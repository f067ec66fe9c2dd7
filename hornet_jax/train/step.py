"""One update, and one evaluation, of a batch."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from hornet_jax.data.erase import random_erase
from hornet_jax.data.mix import MixSettings, draw_mix, mix_batch
from hornet_jax.models import HorNet
from hornet_jax.train.ema import update_ema
from hornet_jax.train.losses import (
  cross_entropy,
  smoothed_targets,
  soft_cross_entropy,
  weighted_mean,
)
from hornet_jax.train.state import TrainState

Batch = dict[str, Array]
Preprocess = Callable[[Array], Array]


def make_train_step(
  model: HorNet,
  tx: optax.GradientTransformation,
  schedule: optax.Schedule,
  preprocess: Preprocess,
  *,
  label_smoothing: float,
  mixing: MixSettings,
  erasing_rate: float,
  ema_decay: float,
  seed: int,
) -> Callable[[TrainState, Batch], tuple[TrainState, dict[str, Array]]]:
  """Builds (state, batch) -> (state, metrics), to be jitted.

  The loss is the weighted mean over the global batch, so that on several devices the
  compiler sums losses and gradients over all of them.

  Args:
    model: what is trained.
    tx: the optimiser.
    schedule: its learning rate, for the log.
    preprocess: uint8 images to the model's input.
    label_smoothing: share of the target spread over all classes.
    mixing: of mixup and cutmix, which come after the erasing, as in timm.
    erasing_rate: see `random_erase`.
    ema_decay: d of ema = d ema + (1 - d) params.
    seed: of everything that is drawn.
  """

  def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
    keys = example_keys(seed, state.step, batch["image"].shape[0])
    images = random_erase(keys, preprocess(batch["image"]), erasing_rate)
    targets = smoothed_targets(batch["label"], model.num_classes, label_smoothing)
    if mixing.active:
      mix = draw_mix(keys, images.shape[1:3], mixing)
      images, targets, _ = mix_batch(images, targets, batch["weight"], mix)

    def loss_fn(params: Any) -> Array:
      logits, _ = model.apply({"params": params}, images, train=True, keys=keys)
      return weighted_mean(soft_cross_entropy(logits, targets), batch["weight"])

    loss, grads = jax.value_and_grad(loss_fn)(state.params)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    ema_params = update_ema(state.ema_params, params, ema_decay)
    metrics = {
      "loss": loss,
      "grad_norm": optax.tree.norm(grads),
      "param_norm": optax.tree.norm(params),
      "learning_rate": jnp.asarray(schedule(state.step)),
    }
    return TrainState(state.step + 1, params, ema_params, opt_state), metrics

  return train_step


def example_keys(seed: int, step: Int[Array, ""], batch_size: int) -> Key[Array, "B"]:
  """One key per row of the global batch, from the seed, the step and the row."""
  key = jax.random.fold_in(jax.random.key(seed), step)
  return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(batch_size))


def make_eval_step(
  model: HorNet, preprocess: Preprocess
) -> Callable[[Any, Batch], dict[str, Array]]:
  """Builds (params, batch) -> `example_results` and what identifies each example."""

  def eval_step(params: Any, batch: Batch) -> dict[str, Array]:
    logits, _ = model.apply({"params": params}, preprocess(batch["image"]))
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
