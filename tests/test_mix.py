"""Mixup and cutmix equal the official recipe, and stay within a device's rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_data import Golden, assert_close

from hornet_jax.data.views.mix import (
  Mix,
  MixSettings,
  check_mixing,
  cutmix_box,
  draw_mix,
  mix_batch,
)
from hornet_jax.errors import InputError
from hornet_jax.parallel.mesh import batch_sharding, make_mesh
from hornet_jax.tasks.losses import cross_entropy, smoothed_targets, soft_cross_entropy

SETTINGS = MixSettings(mixup_alpha=0.8, cutmix_alpha=1.0, rate=1.0, switch_rate=0.5, group_size=4)


@pytest.fixture(scope="module")
def golden():
  return Golden("recipe_mixup_cutmix_loss")


def drawn_as(case):
  """The mix that one case of the reference draws."""
  size = (12, 15)
  center = jnp.array([(case["center_y"] + 0.5) / size[0], (case["center_x"] + 0.5) / size[1]])
  box = cutmix_box(jnp.float32(case["lam"]), center, size)
  if case["use_cutmix"]:
    np.testing.assert_array_equal(box, case["bbox_yl_yh_xl_xh"])
  return Mix(jnp.float32(case["lam_after_correction"]), jnp.bool(case["use_cutmix"]), box)


def test_each_group_equals_the_official_batch(golden):
  """All six cases at once: the groups of one batch, each mixed in its own way."""
  cases = golden.info["cases"]
  mix = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(drawn_as, cases))
  images = jnp.tile(golden.nhwc("x"), (len(cases), 1, 1, 1))
  labels = jnp.tile(golden.arrays["target"].astype(np.int32), len(cases))
  targets = smoothed_targets(labels, 10, golden.info["label_smoothing"])
  mixed, mixed_targets, _ = jax.jit(mix_batch)(images, targets, jnp.ones(len(labels)), mix)
  expected = [golden.nhwc(f"x_out{i}") for i in range(len(cases))]
  assert_close(mixed, np.concatenate(expected), 1e-6)
  expected = [golden.arrays[f"target_out{i}"] for i in range(len(cases))]
  assert_close(mixed_targets, np.concatenate(expected), 1e-6)


def test_losses_equal_the_official_ones(golden):
  logits = jnp.asarray(golden.arrays["logits"])
  soft = soft_cross_entropy(logits, jnp.asarray(golden.arrays["target_out0"])).mean()
  assert_close(soft, golden.info["soft_target_ce_on_target_out0"], 1e-6)
  labels = jnp.asarray(golden.arrays["target"].astype(np.int32))
  assert_close(cross_entropy(logits, labels, 0.1).mean(), golden.info["label_smoothing_ce_0_1"])


def test_a_row_whose_partner_does_not_count_stays_as_it_is():
  images = jnp.arange(4.0).reshape(4, 1, 1, 1) + jnp.zeros((4, 3, 3, 1))
  for is_cutmix in (False, True):
    mix = Mix(jnp.array([0.25]), jnp.array([is_cutmix]), jnp.array([[0, 2, 0, 3]]))
    mixed, targets, ratio = mix_batch(images, jnp.eye(4), jnp.array([1.0, 1.0, 1.0, 0.0]), mix)
    np.testing.assert_array_equal(ratio, [1, 0.25, 0.25, 0.25])
    np.testing.assert_array_equal(mixed[0], images[0])
    np.testing.assert_array_equal(targets[0], jnp.eye(4)[0])
    assert float(mixed[1].mean()) != 1.0


def test_draws_follow_their_distributions():
  keys = jax.random.split(jax.random.key(0), 16000)
  mix = jax.jit(lambda keys: draw_mix(keys, (64, 64), SETTINGS))(keys)
  assert abs(float(mix.is_cutmix.mean()) - 0.5) < 0.03
  mixup = mix.ratio[~mix.is_cutmix]
  # Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1)).
  assert abs(float(mixup.mean()) - 0.5) < 0.02
  assert abs(float(mixup.var()) - 1 / (4 * 2.6)) < 0.01
  top, bottom, left, right = mix.box[mix.is_cutmix].T
  np.testing.assert_allclose(
    mix.ratio[mix.is_cutmix], 1 - (bottom - top) * (right - left) / 64**2, rtol=1e-5
  )
  only = MixSettings(mixup_alpha=0.0, cutmix_alpha=1.0, rate=0.25, switch_rate=0.0, group_size=2)
  mix = jax.jit(lambda keys: draw_mix(keys, (64, 64), only))(keys)
  assert bool(mix.is_cutmix.all())
  assert abs(float((mix.ratio == 1).mean()) - 0.75) < 0.02


def test_eight_devices_mix_as_one_without_communication():
  mesh = make_mesh()
  rows = batch_sharding(mesh)
  rng = np.random.default_rng(0)
  batch = {
    "images": rng.normal(size=(64, 6, 6, 3)).astype(np.float32),
    "targets": np.eye(64, 10, dtype=np.float32),
    "weights": np.ones(64, np.float32),
  }

  def mix(images, targets, weights):
    keys = jax.random.split(jax.random.key(1), images.shape[0])
    return mix_batch(images, targets, weights, draw_mix(keys, (6, 6), SETTINGS))

  sharded = {key: jax.device_put(value, rows) for key, value in batch.items()}
  compiled = jax.jit(mix, out_shardings=rows).lower(**sharded).compile()
  for collective in ("all-reduce", "all-gather", "all-to-all", "collective-permute"):
    assert collective not in compiled.as_text()
  for ours, expected in zip(compiled(**sharded), jax.jit(mix)(**batch), strict=True):
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-6)


def test_groups_must_lie_within_a_device():
  check_mixing(SETTINGS, 32, 8)
  with pytest.raises(InputError, match=r"divisor of 6 \(48 rows on 8 devices\), got 4"):
    check_mixing(SETTINGS, 48, 8)
  check_mixing(MixSettings(0.0, 0.0, 1.0, 0.5, 5), 48, 8)  # nothing is mixed
