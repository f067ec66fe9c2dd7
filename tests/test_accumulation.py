"""A batch in parts gives the update of the whole batch."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_step import build, state  # noqa: F401

from hornet_jax.data.views.mix import MixSettings
from hornet_jax.parallel.accumulation import accumulate


@pytest.fixture(scope="module")
def batch():
  rng = np.random.default_rng(0)
  return {
    "image": jnp.asarray(rng.integers(0, 256, (32, 8, 8, 3), np.uint8)),
    "label": jnp.asarray(rng.integers(0, 4, 32), jnp.int32),
    "weight": jnp.ones(32).at[5].set(0.0),
    "index": jnp.arange(32, dtype=jnp.int32),
  }


@pytest.mark.slow
def test_four_parts_of_eight_equal_thirty_two(state, batch):  # noqa: F811
  """With drop path, mixing, erasing and an image that does not count, over three updates."""
  settings = {"mixing": MixSettings(0.8, 1.0, 1.0, 0.5, 4), "erasing_rate": 0.5}
  results = []
  for parts in (1, 4):
    step, at = jax.jit(build(0.5, 0, accumulation_steps=parts, **settings)[2]), state
    losses = []
    for _ in range(3):
      at, metrics = step(at, batch)
      losses.append([float(metrics["loss"]), float(metrics["grad_norm"])])
    results.append((losses, at.params))
  np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-5)
  chex.assert_trees_all_close(results[1][1], results[0][1], rtol=1e-4, atol=1e-6)
  assert len({loss for loss, _ in results[0][0]}) == 3


def test_clipping_after_every_part_is_the_official_order():
  """Rows are gradients: parts of 2 rows, clipped to 1 as sums grow."""
  rows = jnp.array([[3.0, 0.0], [0.0, 4.0], [1.0, 0.0], [0.0, -1.0]])

  def value_and_grad(params, count, part):
    return (jnp.sum(part), count + 1), {"w": jnp.sum(part, axis=0)}

  def clipped(total):
    return total * min(1.0, 1.0 / np.linalg.norm(total))

  params, count = {"w": jnp.zeros(2)}, jnp.int32(0)
  settings = {"steps": 2, "num_devices": 1}
  (loss, counted), grads, norm = accumulate(
    value_and_grad, params, count, rows, **settings, clip_norm=1.0
  )
  expected = clipped(clipped(np.array([3.0, 4.0])) + np.array([1.0, -1.0]))
  np.testing.assert_allclose(grads["w"], expected, rtol=1e-6)
  assert (float(loss), int(counted)) == (7, 2)  # the state goes from part to part
  np.testing.assert_allclose(norm, 5.0, rtol=1e-6)  # of the first part
  _, unclipped, norm = accumulate(value_and_grad, params, count, rows, **settings)
  np.testing.assert_allclose(unclipped["w"], [4.0, 3.0])
  np.testing.assert_allclose(norm, 5.0, rtol=1e-6)
  # A norm that overflows is clipped to nothing: only the norm tells.
  _, grads, norm = accumulate(value_and_grad, params, count, 1e30 * rows, **settings, clip_norm=1.0)
  assert np.isfinite(grads["w"]).all()
  assert np.isinf(norm)


def test_each_device_keeps_its_rows():
  """Of 8 rows on 2 devices, the first part holds the first half of each device's."""
  seen = []

  def value_and_grad(params, model_state, part):
    jax.debug.callback(lambda p: seen.append(p.tolist()), part, ordered=True)
    return (jnp.sum(part), model_state), params

  rows = jnp.arange(8.0)
  accumulate(value_and_grad, jnp.zeros(()), {}, rows, steps=2, num_devices=2)
  jax.effects_barrier()
  assert seen == [[0, 1, 4, 5], [2, 3, 6, 7]]
