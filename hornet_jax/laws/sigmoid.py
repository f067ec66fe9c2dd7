"""A power law between two ends: the loss of guessing, and that of infinite scale."""

import numpy as np
from scipy.special import expit, log_expit

from hornet_jax.laws.law import Law, log_uniform

_STEPS, _EXACT = 60, 1e-13
_TINY = 1e-300


class SigmoidalPower(Law):
  """(y - e_inf) / (e_0 - y)^alpha = b x^c, the law M4 of the benchmark, solved for y.

  Source: arXiv 2209.06640, section 3.
  """

  name = "m4"
  formula = "(y - e_inf) / (e_0 - y)^alpha = b x^c"
  axes = ("scale",)
  parameters = ("e_inf", "e_0", "alpha", "b", "c")
  positive = ("e_inf", "e_0", "alpha", "b")
  exponents = ("c",)
  floor = "e_inf"

  def value_and_slopes(self, theta: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solves for y by Newton's method, and differentiates the equation."""
    e_inf, e_0, alpha, b, c = np.moveaxis(theta[..., None, :], -1, 0)
    log_x = np.log(x[0])
    part = _solve(e_inf, e_0, alpha, np.log(b) + c * log_x)
    above, below = (e_0 - e_inf) * expit(part), (e_0 - e_inf) * expit(-part)
    # The derivatives of the equation, multiplied by both distances: neither may be divided by.
    pull, both = below + alpha * above, above * below
    by_log = both * np.log(np.maximum(below, _TINY))
    slopes = [below, alpha * above, by_log, both / b, both * log_x]
    return e_inf + above, np.stack(slopes, axis=-1) / pull[..., None]

  def starts(
    self, rng: np.random.Generator, count: int, x: np.ndarray, losses: np.ndarray
  ) -> np.ndarray:
    """Draws both ends and alpha; b and c follow by linear regression."""
    e_inf = losses.min() * rng.uniform(0, 0.999, count)
    e_0 = losses.max() * (1 + log_uniform(rng, 1e-3, 10.0, count))
    alpha = log_uniform(rng, 0.03, 3.0, count)
    above = np.log(losses - e_inf[:, None])
    left = above - alpha[:, None] * np.log(e_0[:, None] - losses)
    lines = np.polynomial.polynomial.polyfit(np.log(x[0]), left.T, 1)
    return np.stack([e_inf, e_0, alpha, np.exp(lines[0]), lines[1]], axis=1)


def _solve(e_inf: np.ndarray, e_0: np.ndarray, alpha: np.ndarray, right: np.ndarray) -> np.ndarray:
  """Solves for u, where y = e_inf + (e_0 - e_inf) sigmoid(u), and `right` is log(b x^c).

  The slope of the equation in u goes from 1 to alpha without turning, so that Newton's method
  arrives from anywhere.
  """
  right = right - (1 - alpha) * np.log(e_0 - e_inf)
  u = np.zeros_like(right)
  for _ in range(_STEPS):
    gap = log_expit(u) - alpha * log_expit(-u) - right
    step = gap / (expit(-u) + alpha * expit(u))
    u = u - step
    if not (np.abs(step) > _EXACT * (1 + np.abs(u))).any():
      break
  return u
