"""The warm-up-stable-decay schedule, and what the lengths of a config are in steps."""

import math

import numpy as np
import pytest
from golden_data import GOLDEN

from hornet_jax.cli import config as config_flag
from hornet_jax.config.check import check_config
from hornet_jax.config.length import branch_steps, cool_down_start, count_steps
from hornet_jax.errors import InputError
from hornet_jax.train.schedule import (
  make_schedule,
  warmup_cosine,
  warmup_poly,
  warmup_stable_decay,
  warmup_steps_down,
)

SETTINGS = {
  "learning_rate": 4e-3,
  "final_learning_rate": 1e-6,
  "decay_fraction": 0.2,
  "decay_shape": "linear",
  "poly_power": 1.0,
  "falls": (),
}


def values(schedule, count):
  return np.array([float(schedule(step)) for step in range(count)])


@pytest.mark.parametrize(("shape", "halfway"), [("linear", 0.5), ("1-sqrt", 1 - math.sqrt(0.5))])
def test_warmup_stable_decay_by_hand(shape, halfway):
  schedule = warmup_stable_decay(
    2.0, 0.5, total_steps=20, warmup_steps=5, decay_start=12, shape=shape
  )
  found = values(schedule, 21)
  np.testing.assert_allclose(found[:5], [0, 0.5, 1, 1.5, 2], rtol=1e-6)
  np.testing.assert_array_equal(found[5:13], 2.0)  # the first step of the cool-down has the peak
  np.testing.assert_allclose(found[16], 0.5 + 1.5 * halfway, rtol=1e-6)
  assert np.all(np.diff(found[12:]) < 0)
  assert found[19] > 0.5
  np.testing.assert_allclose(found[20], 0.5, rtol=1e-6)


def test_until_the_cool_down_no_value_depends_on_the_length():
  short, long = (
    values(make_schedule(total, 7, schedule="warmup_stable_decay", **SETTINGS), 80)
    for total in (100, 1000)
  )
  np.testing.assert_array_equal(short, long)
  cosines = (
    values(make_schedule(total, 7, schedule="cosine", **SETTINGS), 80) for total in (100, 1000)
  )
  assert not np.array_equal(*cosines)


def test_the_cosine_is_the_official_one():
  made = make_schedule(40, 5, schedule="cosine", **SETTINGS)
  np.testing.assert_array_equal(values(made, 40), values(warmup_cosine(4e-3, 1e-6, 40, 5), 40))


@pytest.mark.parametrize("power", [1.0, 0.9])
def test_poly_is_the_one_of_torch(power):
  expected = np.load(GOLDEN / "dense.npz")[f"poly/{power}"]
  schedule = warmup_poly(1e-4, 0.0, 40, 8, power)
  np.testing.assert_allclose(values(schedule, 40), expected, rtol=2e-6)
  made = make_schedule(
    40, 8, schedule="poly", **SETTINGS | {"final_learning_rate": 1e-6, "poly_power": power}
  )
  assert float(made(0)) == pytest.approx(4e-9, rel=1e-4)
  assert float(made(40)) == pytest.approx(1e-6, rel=1e-4)


def test_steps_by_hand():
  """A warm-up of four steps, and a fall at the seventh and at the ninth."""
  factors = [0.001, 0.25075, 0.5005, 0.75025, 1, 1, 0.1, 0.1, 0.01, 0.01]
  schedule = warmup_steps_down(2e-4, 0.0, 4, (6, 8))
  np.testing.assert_allclose(values(schedule, 10), 2e-4 * np.array(factors), rtol=1e-6)
  floored = warmup_steps_down(2e-4, 5e-6, 0, (6, 8))
  np.testing.assert_allclose(values(floored, 9)[[0, 5, 6, 8]], [2e-4, 2e-4, 2e-5, 5e-6], rtol=1e-6)
  np.testing.assert_allclose(values(warmup_steps_down(2e-4, 0.0, 0, ()), 3), 2e-4, rtol=1e-6)


def test_steps_are_those_of_mmcv():
  """Iteration by iteration as its hooks go: a rate an epoch, lowered while it warms up."""
  steps_per_epoch, warmup_iters, ratio = 7, 10, 0.001
  expected, iteration = [], 0
  for epoch in range(12):
    passed = next((i for i, at in enumerate((8, 11)) if epoch < at), 2)
    regular = 1e-4 * 0.1**passed
    for _ in range(steps_per_epoch):
      lowered = (1 - iteration / warmup_iters) * (1 - ratio)
      expected.append(regular * (1 - lowered) if iteration < warmup_iters else regular)
      iteration += 1
  made = make_schedule(
    84,
    warmup_iters,
    schedule="steps",
    **SETTINGS
    | {
      "learning_rate": 1e-4,
      "final_learning_rate": 0.0,
      "falls": [8 * steps_per_epoch, 11 * steps_per_epoch],
    },
  )
  np.testing.assert_allclose(values(made, 84), expected, rtol=1e-6)


def test_warm_up_and_cool_down_must_fit():
  with pytest.raises(
    InputError, match=r"expected at most 80 steps, which .* leaves of 100, got 81"
  ):
    make_schedule(100, 81, schedule="warmup_stable_decay", **SETTINGS)


def test_lengths_in_steps():
  assert count_steps(2.3, 100) == 230
  assert (cool_down_start(230, 0.2), cool_down_start(9, 0.3)) == (184, 6)
  config = config_flag.load("digits", ["--config.checkpoint.branch_epochs=(1, 2.5)"])
  assert branch_steps(config, 1437) == [22 - 4, 55 - 11]


@pytest.mark.parametrize(
  ("overrides", "message"),
  [
    (["optimizer.schedule=warmup_stable_decay"], r"`ema\.reference_steps` must be 0 with"),
    (["checkpoint.branch_epochs=(1.0,)"], r"must come with .* warmup_stable_decay: got cosine"),
    (["checkpoint.branch_epochs=(1.0, 0.0)"], r"branch_epochs` must be numbers > 0: got \[1\.0, 0"),
    (["optimizer.decay_fraction=0.0"], r"decay_fraction` must be > 0 and <= 1"),
    (
      ["optimizer.schedule=steps", "epochs=12.0"],
      r"before the end .* less than 12\.0 epochs, got \[27\.0, 33\.0\]\..*=\"\(9, 11\)\"",
    ),
    (
      ["optimizer.schedule=steps", "optimizer.step_epochs=(3.0, 2.0)"],
      r"step_epochs` must rise: .* got \[3\.0, 2\.0\]",
    ),
  ],
)
def test_what_is_refused(overrides, message):
  config = config_flag.load("digits", [f"--config.{override}" for override in overrides])
  with pytest.raises(InputError, match=message):
    check_config(config)
