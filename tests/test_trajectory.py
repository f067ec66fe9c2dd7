"""Gradient, accumulation, clipping, AdamW and average, put together, equal the official ones."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from golden_data import Golden, assert_close, official_key

from hornet_jax import HorNet
from hornet_jax.convert import params_from_official
from hornet_jax.parallel.accumulation import accumulate
from hornet_jax.tasks.losses import soft_cross_entropy
from hornet_jax.train.ema import update_ema
from hornet_jax.train.optimizer import adamw
from hornet_jax.train.schedule import warmup_cosine


def _without_noise(filter_im):
  """Of an imaginary part, [h, w, D], all but the bins that are their own conjugates.

  There the output does not depend on it: the gradient is rounding noise, which Adam scales
  up to whole steps.
  """
  known = np.array(filter_im)
  height, width, _ = known.shape
  for row in {0, height // 2} if height % 2 == 0 else {0}:
    known[row, [0, width - 1]] = 0
  return known


@pytest.mark.parametrize(
  "name",
  [
    pytest.param("recipe_train_traj_gf", marks=pytest.mark.slow),
    "recipe_train_traj_7x7_ld_accum",
  ],
)
def test_training_trajectory(name):
  golden = Golden(name)
  info, config = golden.info, dict(golden.config)
  filters = config.pop("gf_filter_hw")
  model = HorNet(**config, filters=[tuple(f) if f else "7x7" for f in filters])
  params = params_from_official(golden.group("param/"))
  parts, clip = info["update_freq"], info["clip_grad"]
  images = golden.arrays["x"].transpose(0, 1, 3, 4, 2).reshape(-1, 32, 32, 3)
  rows = (jnp.asarray(images), jnp.asarray(golden.arrays["soft_target"].reshape(-1, 10)))

  epochs = info["schedule"]
  in_epoch = epochs["niter_per_ep"]
  schedule = warmup_cosine(
    epochs["base"], epochs["final"], epochs["epochs"] * in_epoch, epochs["warmup_epochs"] * in_epoch
  )
  tx = adamw(
    model.param_info,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    weight_decay=info["weight_decay"],
    clip_norm=clip,
    layer_decay=info["layer_decay"] or 1.0,
  )

  def loss_fn(params, model_state, part):
    logits, _ = model.apply({"params": params}, part[0])
    return jnp.sum(soft_cross_entropy(logits, part[1])) / len(images), model_state

  @jax.jit
  def update(params, ema, state, rate):
    value_and_grad = jax.value_and_grad(loss_fn, has_aux=True)
    (loss, _), grads, _ = accumulate(
      value_and_grad, params, {}, rows, steps=parts, num_devices=1, clip_norm=clip
    )
    updates, state = tx.update(grads, state, params)
    params = jax.tree.map(lambda p, u: p + rate * u, params, updates)
    return params, update_ema(ema, params, info["ema_decay"]), state, loss

  ema, state, losses = params, tx.init(params), []
  for step in range(info["steps"]):
    params, ema, state, loss = update(params, ema, state, schedule(step))
    losses.append(float(loss))
  expected = np.reshape(info["losses"], (-1, parts)).mean(1)
  np.testing.assert_allclose(losses, expected, rtol=1e-5)
  # Some parameters are stored whole, of the others their norms.
  for ours, prefix in ((params, "final/"), (ema, "final_ema/")):
    ours = traverse_util.flatten_dict(ours)
    stored = traverse_util.flatten_dict(params_from_official(golden.group(prefix)))
    assert stored
    for path, official in stored.items():
      if path[-1] == "filter_im":
        assert_close(_without_noise(ours[path]), _without_noise(official), 1e-5, path)
      else:
        assert_close(ours[path], official, 1e-5, path)
  squares = collections.defaultdict(float)
  for path, leaf in traverse_util.flatten_dict(params).items():
    squares[official_key(path)] += float(jnp.sum(leaf**2))
  assert squares.keys() == info["final_l2_norms"].keys()
  for key, norm in info["final_l2_norms"].items():
    assert squares[key] ** 0.5 == pytest.approx(norm, rel=1e-5), key
