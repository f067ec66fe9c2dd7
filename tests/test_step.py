"""The train step does what its parts promise, on a model that compiles in seconds."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hornet_jax import create_model
from hornet_jax.data.views.eval_view import EvalView
from hornet_jax.data.views.mix import MixSettings
from hornet_jax.parallel.mesh import make_mesh
from hornet_jax.tasks import Classification
from hornet_jax.train.optimizer import head_only
from hornet_jax.train.state import create_state
from hornet_jax.train.step import StepSettings, make_train_step

SMOOTHING, EMA_DECAY = 0.2, 0.75
RATE = 0.05
UNMIXED = MixSettings(0.0, 0.0, 0.0, 0.0, 2)


def build(drop_path_rate, seed, mixing=UNMIXED, erasing_rate=0.0, freeze=False, **changes):
  model = create_model(
    "hornet_nano_7x7", num_classes=4, base_dim=4, filters=("3x3", "3x3"), orders=(1, 2)
  ).clone(drop_path_rate=drop_path_rate)
  tx = optax.sgd(1.0)
  trainable = functools.partial(head_only, model.param_info) if freeze else None
  if freeze:
    tx = optax.partition({True: tx, False: optax.set_to_zero()}, trainable)
  task = Classification(
    4,
    EvalView(8, 1.0),
    mean=(0.4, 0.5, 0.6),
    std=(0.2, 0.3, 0.4),
    label_smoothing=SMOOTHING,
    mixing=mixing,
    erasing_rate=erasing_rate,
  )
  step = make_train_step(
    model,
    task,
    tx,
    lambda step: RATE,
    StepSettings(
      ema_decay=EMA_DECAY,
      seed=seed,
      **{"accumulation_steps": 1, "micro_step_clip_norm": 0.0, **changes},
    ),
    trainable=trainable,
  )
  return model, tx, step


@pytest.fixture(scope="module")
def batch():
  rng = np.random.default_rng(0)
  return {
    "image": jnp.asarray(rng.integers(0, 256, (4, 8, 8, 3), np.uint8)),
    "label": jnp.array([0, 3, 1, 2], jnp.int32),
    "weight": jnp.array([1.0, 1.0, 0.0, 1.0]),
    "index": jnp.arange(4, dtype=jnp.int32),
  }


@pytest.fixture(scope="module")
def state():
  model, tx, _ = build(0.0, 0)
  state = create_state(model, tx, (4, 8, 8, 3), make_mesh(jax.devices()[:1]), 0)
  # Parameters at which drop path shows, and an average that differs from them.
  params = jax.tree.map(lambda p: p + 0.1, state.params)
  return dataclasses.replace(state, params=params, ema_params=state.params)


def test_loss_gradient_and_average(state, batch):
  model, _, step = build(0.0, 0)

  def loss_by_hand(params):
    mean, std = np.array([[[[0.4, 0.5, 0.6]]]]), np.array([[[[0.2, 0.3, 0.4]]]])
    images = (batch["image"] / 255 - mean) / std
    log_p = jax.nn.log_softmax(model.apply({"params": params}, images)[0])
    picked = log_p[jnp.arange(4), batch["label"]]
    losses = -(1 - SMOOTHING) * picked - SMOOTHING * log_p.mean(-1)
    return losses[jnp.array([0, 1, 3])].mean()  # the third has weight 0

  expected, grads = jax.jit(jax.value_and_grad(loss_by_hand))(state.params)
  new, metrics = jax.jit(step)(state, batch)
  np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-5)
  np.testing.assert_allclose(metrics["grad_norm"], optax.tree.norm(grads), rtol=1e-4)
  np.testing.assert_allclose(metrics["param_norm"], optax.tree.norm(new.params), rtol=1e-6)
  np.testing.assert_allclose(metrics["learning_rate"], RATE)
  assert int(new.step) == 1
  close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
  jax.tree.map(lambda n, p, g: close(n, p - RATE * g), new.params, state.params, grads)
  jax.tree.map(
    lambda e, old, p: close(e, EMA_DECAY * old + (1 - EMA_DECAY) * p),
    new.ema_params,
    state.ema_params,
    new.params,
  )


def test_drop_path_draws_by_seed_and_step(state, batch):
  losses = {}
  for seed in (0, 1):
    step = jax.jit(build(0.9, seed)[2])
    for number in (0, 1):
      at = dataclasses.replace(state, step=jnp.int32(number))
      losses[seed, number] = float(step(at, batch)[1]["loss"])
    assert losses[seed, 1] == float(step(at, batch)[1]["loss"])
  assert len(set(losses.values())) == 4


def test_mixing_and_erasing_draw_by_seed_and_step(state, batch):
  settings = {"mixup": MixSettings(0.8, 0.0, 1.0, 0.5, 2), "erasing": UNMIXED}
  for name, mixing in settings.items():
    losses = {}
    for seed in (0, 1):
      step = jax.jit(build(0.0, seed, mixing, 0.9 if name == "erasing" else 0.0)[2])
      for number in (0, 1):
        at = dataclasses.replace(state, step=jnp.int32(number))
        losses[seed, number] = float(step(at, batch)[1]["loss"])
      assert losses[seed, 1] == float(step(at, batch)[1]["loss"])
    assert len(set(losses.values())) == 4, name


def test_an_update_that_is_not_finite_is_skipped_and_counted(state, batch):
  step = jax.jit(build(0.0, 0)[2])
  poisoned = {**batch, "weight": jnp.full(4, jnp.nan)}
  new, metrics = step(state, poisoned)
  for kept in ("params", "ema_params", "opt_state"):
    jax.tree.map(np.testing.assert_array_equal, getattr(new, kept), getattr(state, kept))
  assert not jnp.isfinite(metrics["loss"])
  assert (int(new.step), int(metrics["skipped"]), int(metrics["skipped_in_a_row"])) == (1, 1, 1)
  new, metrics = step(new, poisoned)
  assert (int(metrics["skipped"]), int(metrics["skipped_in_a_row"])) == (2, 2)
  new, metrics = step(new, batch)
  assert (int(new.skipped), int(new.skipped_in_a_row)) == (2, 0)
  assert float(optax.tree.norm(optax.tree.sub(new.params, state.params))) > 0


def test_a_frozen_backbone_stays_and_the_head_learns(state, batch):
  _, tx, step = build(0.0, 0, freeze=True)
  start = dataclasses.replace(state, opt_state=tx.init(state.params))
  new, metrics = jax.jit(step)(start, batch)
  whole, _ = jax.jit(build(0.0, 0)[2])(state, batch)
  for name, params in new.params.items():
    expected = whole.params[name] if name == "head" else state.params[name]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), params, expected)
  head_grads = jax.tree.map(lambda a, b: (a - b) / RATE, state.params["head"], new.params["head"])
  np.testing.assert_allclose(metrics["grad_norm"], optax.tree.norm(head_grads), rtol=1e-3)
