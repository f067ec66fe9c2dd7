"""muP: factors by hand, the base model untouched, the same update wherever parameters lie."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util
from golden_data import assert_close

from hornet_jax import create_model
from hornet_jax.cli import config as config_flag
from hornet_jax.config.check import check_config
from hornet_jax.errors import InputError
from hornet_jax.models.param_info import layer_param_info
from hornet_jax.models.stacking import unstack_blocks
from hornet_jax.parallel.mesh import batch_sharding, make_mesh, to_devices
from hornet_jax.train.optimizer import adamw
from hornet_jax.train.state import abstract_params
from hornet_jax.train.trainer import Trainer
from hornet_jax.train.width_scaling import WidthScaling, maximal_update, power_rule

SHAPE = (8, 16, 16, 3)


def scaling_of(name, width, base, **others):
  models = (create_model(name, num_classes=10, base_dim=w, **others) for w in (width, base))
  model, params, base_params = None, None, None
  for built in models:
    found = abstract_params(built, SHAPE)
    model, params, base_params = model or built, params or found, found
  return maximal_update(model.param_info, params, base_params), params


def test_factors_by_hand():
  scaling, params = scaling_of("hornet_nano_gf", 32, 8)
  paths = traverse_util.flatten_dict(params, sep="/")
  # Whose inputs are channels; kernels of stems and depthwise ones have no such axis.
  matrices = {
    path
    for path in paths
    if path.endswith("kernel") and not path.startswith("stem") and "/dw" not in path
  }
  assert scaling.rates.keys() == scaling.initial.keys() == matrices
  assert set(scaling.rates.values()) == {0.25}
  assert {path for path, factor in scaling.initial.items() if factor == 0.25} == {"head/kernel"}
  assert set(scaling.initial.values()) == {0.25, 0.5}


@pytest.mark.parametrize("name", ["swin_micro", "deit_micro", "ladder_micro_se"])
def test_what_does_not_grow_keeps_its_rate(name):
  """Tables, tokens, norms and biases of other architectures, without a word on them."""
  heads = {"swin_micro": {"num_heads": (1, 2, 4, 8)}, "deit_micro": {"num_heads": 4}}.get(name, {})
  scaling, params = scaling_of(name, 64, 16, **heads)
  others = traverse_util.flatten_dict(params, sep="/").keys() - scaling.rates.keys()
  assert {path.rpartition("/")[2] for path in others} <= {
    *("scale", "bias", "kernel", "relative_bias", "positions", "class_token", "class_position"),
  }
  assert {path for path in others if path.endswith("kernel")} <= {"stem/conv/kernel"} | {
    path for path in others if "dw" in path
  }
  assert scaling.initial["head/kernel"] == 0.25


def test_an_update_by_hand():
  params = {"fc": {"kernel": jnp.full((4, 2), 2.0), "bias": jnp.full(2, 3.0)}}
  base = {"fc": {"kernel": jnp.ones((1, 1)), "bias": jnp.ones(1)}}
  scaling = maximal_update(layer_param_info, params, base)
  tx = adamw(
    layer_param_info, b1=0.9, b2=0.999, eps=1e-12, weight_decay=0.5, clip_norm=0.0, scaling=scaling
  )
  updates, _ = tx.update(jax.tree.map(jnp.ones_like, params), tx.init(params), params)
  # The first step of Adam is the sign: a quarter of it, and the decay as it is.
  np.testing.assert_allclose(updates["fc"]["kernel"], -(0.25 + 0.5 * 2), rtol=1e-5)
  np.testing.assert_allclose(updates["fc"]["bias"], -1.0, rtol=1e-5)
  assert scaling.initial == {"fc/kernel": 0.5}


def test_the_power_rule_is_one_factor():
  params = {"fc": {"kernel": jnp.ones((4, 2)), "bias": jnp.ones(2)}}
  scaling = power_rule(params, growth=4.0, exponent=0.5)
  assert scaling.rates == {"fc/kernel": 0.5, "fc/bias": 0.5}
  assert not scaling.initial
  assert power_rule(params, 1.0, 0.5) == WidthScaling()


def test_without_a_scaling_the_state_is_that_of_optax():
  params = {"kernel": jnp.ones((2, 2))}
  tx = adamw(layer_param_info, b1=0.9, b2=0.999, eps=1e-8, weight_decay=0.1, clip_norm=0.0)
  of_optax = optax.chain(optax.adamw(1.0, mask=lambda tree: jax.tree.map(lambda _: True, tree)))
  assert jax.tree.structure(tx.init(params)) == jax.tree.structure(of_optax.init(params))


def trainer_of(devices, **overrides):
  settings = {
    "data.image_size": 16,
    "data.batch_size": 8,
    "model.fields": "base_dim=16, depths=(2,)",
    "model.drop_path_rate": 0.0,
    "optimizer.warmup_epochs": 0.0,
    "optimizer.learning_rate": 1e-2,
    **overrides,
  }
  arguments = [f"--config.{key}={value}" for key, value in settings.items()]
  config = config_flag.load("digits:variant=convnext_iso_micro", arguments)
  check_config(config)
  mesh = make_mesh(devices, config["mesh"]["fsdp"])
  return Trainer(config, mesh, num_classes=10, num_examples=64)


def after_steps(trainer, count=2):
  rng = np.random.default_rng(0)
  batch = {
    "image": rng.integers(0, 255, SHAPE, np.uint8),
    "label": rng.integers(0, 10, 8, np.int32),
    "weight": np.ones(8, np.float32),
    "index": np.arange(8, dtype=np.int32),
  }
  step, state = trainer.compile_train_step(), trainer.create_state()
  for _ in range(count):
    state, _ = step(state, to_devices(batch, 8, batch_sharding(trainer.mesh)))
  return state


MUP = {"optimizer.parametrization": "mup", "optimizer.base_width": 8}


def test_the_base_model_is_the_standard_one_bit_for_bit():
  one = jax.devices()[:1]
  mup = after_steps(trainer_of(one, **{**MUP, "optimizer.base_width": 16}))
  jax.tree.map(np.testing.assert_array_equal, mup, after_steps(trainer_of(one)))


def test_the_update_is_the_same_stacked_and_in_parts(monkeypatch):
  monkeypatch.setattr("hornet_jax.parallel.sharding.MIN_SIZE", 64)
  apart = after_steps(trainer_of(jax.devices()[:1], **MUP, **{"model.scan": False}))
  parts = after_steps(trainer_of(None, **MUP, **{"model.scan": True, "mesh.fsdp": 4}))
  assert_close_trees(unstack_blocks(parts.params), apart.params)
  assert_close_trees(unstack_blocks(parts.ema_params), apart.ema_params)


def assert_close_trees(tree, other):
  jax.tree.map(lambda a, b: assert_close(a, b, 1e-3), tree, other)


def test_it_composes_with_frozen_layers():
  """Of a frozen backbone nothing moves, and the head does as without one."""
  scaling, params = scaling_of("convnext_iso_micro", 16, 8)
  params = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), params)
  info = create_model("convnext_iso_micro").param_info
  settings = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "weight_decay": 0.0, "clip_norm": 0.0}

  def head(params):
    return {name: jax.tree.map(lambda _, n=name: n == "head", of) for name, of in params.items()}

  updates = []
  for trainable in (head, None):
    tx = adamw(info, **settings, trainable=trainable, scaling=scaling)
    updates.append(tx.update(params, tx.init(params), params)[0])
  jax.tree.map(np.testing.assert_array_equal, updates[0]["head"], updates[1]["head"])
  assert float(jnp.max(jnp.abs(updates[0]["stem"]["conv"]["kernel"]))) == 0.0
  np.testing.assert_allclose(updates[1]["head"]["kernel"], -0.5, rtol=1e-5)


@pytest.mark.parametrize(
  ("overrides", "message"),
  [
    (
      {"optimizer.parametrization": "mup"},
      r"`optimizer\.base_width` must come with .*got 0 with mup",
    ),
    ({"optimizer.base_width": 8}, r"must come with .* got 8 with standard"),
    ({**MUP, "model.variant": "deit_micro", "optimizer.base_width": 6}, r"whole heads of 16"),
  ],
)
def test_what_is_refused(overrides, message):
  if overrides.get("model.variant"):
    overrides = {**overrides, "model.fields": ""}
  with pytest.raises(InputError, match=message):
    trainer_of(jax.devices()[:1], **overrides)


def test_another_model_at_the_base_width_is_refused():
  params = {"kernel": jnp.ones((2, 2))}
  with pytest.raises(InputError, match="got 2 arrays instead of 1"):
    maximal_update(layer_param_info, params, {**params, "bias": jnp.ones(2)})
  assert dataclasses.astuple(maximal_update(layer_param_info, params, params)) == ({}, {})
