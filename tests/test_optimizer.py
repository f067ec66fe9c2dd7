"""Schedule, decay mask, moving average and losses equal the official ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from golden_data import Golden, assert_close, official_key

from hornet_jax import HorNet
from hornet_jax.models.param_info import layer_param_info
from hornet_jax.models.stacking import stack_blocks
from hornet_jax.tasks.losses import cross_entropy
from hornet_jax.train.ema import fitted_decay, update_ema
from hornet_jax.train.optimizer import adamw, decay_mask
from hornet_jax.train.schedule import warmup_cosine


@pytest.mark.parametrize("case", Golden("recipe_lr_schedule").info["cases"])
def test_schedule(case):
  args = case["args"]
  total = args["epochs"] * args["niter_per_ep"]
  warmup = args.get("warmup_epochs", 0) * args["niter_per_ep"]
  if args.get("warmup_steps", -1) > 0:
    warmup = args["warmup_steps"]
  schedule = warmup_cosine(args["base_value"], args["final_value"], total, warmup)
  values = [float(schedule(step)) for step in range(case["length"])]
  np.testing.assert_allclose(values, case["values"], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("case", Golden("recipe_param_groups").info["cases"])
def test_parameter_groups(case):
  late = ((14, 8), (7, 4)) if "gf" in case["model"] else ("7x7", "7x7")
  depths = tuple(int(d) for d in case["model"].rpartition("depths ")[2].split(","))
  model = HorNet(depths=depths, filters=("7x7", "7x7", *late))
  images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
  params = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
  stacked = decay_mask(model.param_info, jax.eval_shape(stack_blocks, params))
  for i, depth in enumerate(depths):
    (of_stage,) = stacked[f"stage_{i}"].values()
    assert decay_mask(model.param_info, params)[f"stage_{i}"] == {
      f"block_{j}": of_stage for j in range(depth)
    }
  decayed = {True: set(), False: set()}
  for path, decay in traverse_util.flatten_dict(decay_mask(model.param_info, params)).items():
    decayed[decay].add(official_key(path))
  # Layer decay splits the official groups further; what is decayed stays the same.
  official = {True: set(), False: set()}
  for group in case["groups"]:
    official[group["weight_decay"] > 0] |= set(group["params"])
  assert decayed == official


def test_adamw_by_hand():
  params = {"kernel": jnp.array([[2.0, -1.0]]), "bias": jnp.array([3.0])}
  grads = {"kernel": jnp.array([[3.0, 0.0]]), "bias": jnp.array([4.0])}
  tx = adamw(layer_param_info, b1=0.9, b2=0.999, eps=1e-8, weight_decay=0.5, clip_norm=1.0)
  updates, _ = tx.update(grads, tx.init(params), params)
  new = jax.tree.map(lambda p, u: p + 0.1 * u, params, updates)
  # Clipped to norm 1 (0.6, 0, 0.8); the first Adam step is the sign; the bias has no decay.
  np.testing.assert_allclose(new["kernel"], [[2 - 0.1 * (1 + 0.5 * 2), -1 + 0.1 * 0.5]], rtol=1e-5)
  np.testing.assert_allclose(new["bias"], [3 - 0.1], rtol=1e-5)


def test_clipping_scales_the_whole_gradient():
  tx = adamw(layer_param_info, b1=0.0, b2=0.0, eps=1e9, weight_decay=0.0, clip_norm=2.0)
  grads = {"kernel": jnp.full((2, 2), 3.0), "bias": jnp.full((4,), 4.0)}  # norm 10
  updates, _ = tx.update(grads, tx.init(grads), grads)
  np.testing.assert_allclose(updates["kernel"] * -1e9, np.full((2, 2), 0.6), rtol=1e-4)


def test_moving_average():
  golden = Golden("recipe_model_ema")
  decay = golden.info["decay"]
  ema = {name: golden.arrays[f"ema_{name}0"] for name in "wb"}
  for step in range(1, 5):
    params = {name: golden.arrays[f"model_{name}{step}"] for name in "wb"}
    ema = update_ema(ema, params, decay)
    for name in "wb":
      assert_close(ema[name], golden.arrays[f"ema_{name}{step}"], 1e-6)


def test_closed_form_of_the_moving_average():
  ema, decay = 0.0, 0.9
  for step in range(1, 20):
    ema = update_ema(ema, 1.0, decay)
    np.testing.assert_allclose(ema, 1 - decay**step, rtol=1e-6)


def test_fitted_decay_keeps_the_share_of_the_run():
  assert fitted_decay(0.9999, 93_600, 93_600) == pytest.approx(0.9999)
  short = fitted_decay(0.9999, 93_600, 880)
  # Weight of the initial parameters at the end: the same in both runs.
  assert short**880 == pytest.approx(0.9999**93_600)
  assert fitted_decay(0.99, 0, 10) == 0.99


def test_label_smoothing_by_definition():
  logits = jax.random.normal(jax.random.key(0), (3, 5))
  labels = jnp.array([0, 4, 2])
  log_p = np.asarray(jax.nn.log_softmax(logits))
  expected = -(0.9 * log_p[np.arange(3), labels] + 0.1 * log_p.mean(-1))
  assert_close(cross_entropy(logits, labels, 0.1), expected, 1e-6)
