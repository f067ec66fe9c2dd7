"""The learning rate warms up, then falls by a cosine, a power or in steps, or stays for a while."""

from collections.abc import Sequence

import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array

from hornet_jax.config.length import cool_down_start
from hornet_jax.errors import InputError

# By which a warm-up that multiplies another schedule does so at step 0.
_FIRST_OF_POLY, _FIRST_OF_STEPS = 1e-6, 1e-3
_FALL = 0.1  # factor of each fall of a learning rate that falls in steps


def make_schedule(
  total_steps: int,
  warmup_steps: int,
  *,
  schedule: str,
  learning_rate: float,
  final_learning_rate: float,
  decay_fraction: float,
  decay_shape: str,
  poly_power: float,
  falls: Sequence[int],
) -> optax.Schedule:
  """Makes the schedule of a run.

  Args:
    total_steps: steps of the whole run.
    warmup_steps: steps in which the learning rate grows.
    schedule: `"cosine"`, `"poly"`, `"steps"` or `"warmup_stable_decay"`.
    learning_rate: highest value; of `"poly"` the one that it falls from.
    final_learning_rate: value that the run tends to; of `"steps"` the least one.
    decay_fraction: share of the steps that a cool-down takes.
    decay_shape: shape of a cool-down, see `warmup_stable_decay`.
    poly_power: power of `"poly"`.
    falls: steps at which `"steps"` falls.

  Raises:
    InputError: if warm-up and cool-down are longer than the run.
  """
  if schedule == "cosine":
    return warmup_cosine(learning_rate, final_learning_rate, total_steps, warmup_steps)
  if schedule == "poly":
    return warmup_poly(
      learning_rate, final_learning_rate, total_steps, warmup_steps, power=poly_power
    )
  if schedule == "steps":
    return warmup_steps_down(learning_rate, final_learning_rate, warmup_steps, falls)
  decay_start = cool_down_start(total_steps, decay_fraction)
  if warmup_steps > decay_start:
    raise InputError(
      "`optimizer.warmup_epochs` must end before the cool-down begins: expected at most "
      f"{decay_start} steps, which `optimizer.decay_fraction` {decay_fraction:g} leaves of "
      f"{total_steps}, got {warmup_steps}."
    )
  peak_and_final = learning_rate, final_learning_rate
  return warmup_stable_decay(*peak_and_final, total_steps, warmup_steps, decay_start, decay_shape)


def warmup_cosine(peak: float, final: float, total_steps: int, warmup_steps: int) -> optax.Schedule:
  """Makes a linear warm-up that includes both ends, then a cosine that starts at the peak.

  Step i < W: peak * i / (W - 1). After it, with n = total - W and i counted from 0:
  final + (peak - final) (1 + cos(pi i / n)) / 2. So step 0 has 0, the peak is used
  twice and `final` is never quite reached.

  Source: official utils.py, `cosine_scheduler`.

  Args:
    peak: highest value.
    final: value that the cosine tends to.
    total_steps: steps of the whole run.
    warmup_steps: W; 0 for none.

  Returns:
    A function of the step, as optax wants it.
  """
  cosine = optax.cosine_decay_schedule(peak, max(total_steps - warmup_steps, 1), final / peak)
  return _warmed_up(peak, warmup_steps, cosine)


def warmup_poly(
  peak: float, final: float, total_steps: int, warmup_steps: int, power: float = 1.0
) -> optax.Schedule:
  """Makes a power that falls from the first step on, times a linear warm-up.

  Step i: final + (peak - final) (1 - i / total)^power, in the first W steps times
  r + (1 - r) i / W with r = 1e-6. So the peak is never quite reached.

  Source: mmcv's `PolyLrUpdaterHook` with linear warm-up and `warmup_ratio=1e-6`, of the official
  segmentation configs.

  Args:
    peak: value that the power falls from.
    final: value that the power tends to.
    total_steps: steps of the whole run.
    warmup_steps: W; 0 for none.
    power: exponent; 1 for a straight line.

  Returns:
    A function of the step, as optax wants it.
  """
  poly = optax.polynomial_schedule(peak, final, power, total_steps)
  return _multiplied(poly, warmup_steps, _FIRST_OF_POLY)


def warmup_steps_down(
  peak: float, least: float, warmup_steps: int, falls: Sequence[int]
) -> optax.Schedule:
  """Makes a constant that falls to a tenth several times, times a linear warm-up.

  Step i: max(least, 0.1^n peak) with n the number of `falls` that are at most i, in the first W
  steps times r + (1 - r) i / W with r = 1e-3. So step W is the first with the peak.

  Source: mmcv's `StepLrUpdaterHook` with linear warm-up and `warmup_ratio=0.001`, of the official
  configs for detection.

  Args:
    peak: value before the first fall.
    least: value that it does not fall below; mmcv's `min_lr`.
    warmup_steps: W; 0 for none.
    falls: steps from which on the value is a tenth of the one before.

  Returns:
    A function of the step, as optax wants it.
  """
  starts = jnp.asarray(sorted(falls), jnp.int32)
  # Tenths are rounded once here, and not once a fall on the device.
  values = jnp.asarray([max(least, peak * _FALL**n) for n in range(len(falls) + 1)], jnp.float32)

  def constants(step: ArrayLike) -> Array:
    return values[jnp.sum(starts <= step)]

  return _multiplied(constants, warmup_steps, _FIRST_OF_STEPS)


def warmup_stable_decay(
  peak: float,
  final: float,
  total_steps: int,
  warmup_steps: int,
  decay_start: int,
  shape: str = "linear",
) -> optax.Schedule:
  """Makes the same warm-up, a constant and a cool-down: until it, no value depends on the length.

  Step i of the cool-down's n = total - decay_start, counted from 0, has
  final + (peak - final) (1 - g(i / n)), where g(t) = t (`"linear"`) or sqrt(t) (`"1-sqrt"`). So
  the cool-down starts at the peak, and `final` is never quite reached.

  Source: arXiv 2404.06395 section 4 (warm-up, stable, decay); arXiv 2405.18392 section 3, which
  finds 1-sqrt better than linear.

  Args:
    peak: highest value.
    final: value that the cool-down tends to.
    total_steps: steps of the whole run.
    warmup_steps: W; 0 for none.
    decay_start: number of steps before the cool-down.
    shape: `"linear"` or `"1-sqrt"`.

  Returns:
    A function of the step, as optax wants it.
  """
  decay_steps = max(total_steps - decay_start, 1)

  def cool_down(step: ArrayLike) -> Array:
    done = jnp.clip(step / decay_steps, 0.0, 1.0)
    return peak - (peak - final) * (jnp.sqrt(done) if shape == "1-sqrt" else done)

  stable = optax.constant_schedule(peak)
  return _warmed_up(
    peak, warmup_steps, optax.join_schedules([stable, cool_down], [decay_start - warmup_steps])
  )


def _warmed_up(peak: float, warmup_steps: int, schedule: optax.Schedule) -> optax.Schedule:
  if warmup_steps == 0:
    return schedule
  warmup = optax.linear_schedule(0.0, peak, max(warmup_steps - 1, 1))
  return optax.join_schedules([warmup, schedule], [warmup_steps])


def _multiplied(schedule: optax.Schedule, warmup_steps: int, first: float) -> optax.Schedule:
  """Multiplies a schedule's first steps by factors that grow from `first` towards 1."""
  if warmup_steps == 0:
    return schedule

  def warmed_up(step: ArrayLike) -> Array:
    done = jnp.clip(step / warmup_steps, 0.0, 1.0)
    return schedule(step) * (first + (1 - first) * done)

  return warmed_up
