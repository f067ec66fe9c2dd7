"""Intervals by the bootstrap: runs are drawn again, and the law is fitted to each draw."""

import dataclasses

import numpy as np
from scipy import stats

from hornet_jax.laws.fitting import Fit
from hornet_jax.laws.minimise import minimise

SAMPLES, LEVEL = 1000, 0.95


@dataclasses.dataclass(frozen=True, eq=False)
class Bootstrap:
  """A `Bootstrap` holds the parameters of many refits.

  Attributes:
    fit: fit that every refit started from.
    theta: parameters [B, p].
    level: share of studies whose intervals are to hold the truth.
    seed: seed of the draws.
  """

  fit: Fit
  theta: np.ndarray
  level: float = LEVEL
  seed: int = 0

  def interval(self, values: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """Gives the interval of a quantity by its values in the refits.

    Plain percentiles of small studies hold the truth too rarely for squares, and too often for
    Huber's loss, whose refits spread about another centre than the fit. The former are moved
    outwards as far as Student's distribution is wider than the normal one, the latter are corrected
    for that centre.

    Source: expanded percentiles, arXiv 1411.5279, section 5.3; bias-corrected percentiles, Efron,
    The Canadian Journal of Statistics 9 (1981).

    Args:
      values: values [B, ...].
      estimate: value of the fit itself, [...].

    Returns:
      Lower and upper ends, [2, ...].
    """
    reach = stats.norm.ppf((1 + self.level) / 2)
    if self.fit.criterion.delta is None:
      runs = len(np.unique(self.fit.points.runs))
      freedom = max(runs - len(self.fit.theta), 1)
      reach = stats.t.ppf((1 + self.level) / 2, freedom) * np.sqrt(runs / max(runs - 1, 1))
      centre = np.zeros(np.shape(estimate))
    else:
      below = (values < estimate).mean(axis=0)
      centre = 2 * stats.norm.ppf(np.clip(below, 1 / len(values), 1 - 1 / len(values)))
    return _quantiles(values, stats.norm.cdf(np.stack([centre - reach, centre + reach])))

  def predict(self, x: np.ndarray) -> np.ndarray:
    """Predicts losses [B, n] of every refit at points [k, n]."""
    return self.fit.law.predict(self.theta, x)

  def predict_run(self, x: np.ndarray) -> np.ndarray:
    """Predicts losses [B, n] of new runs: every refit with the deviation of some run from its law.

    Deviations are those of the fit, in logarithms, made larger for the parameters that they paid
    for.
    """
    rng = np.random.default_rng([self.seed, 1])
    errors = self.fit.log_errors()
    errors = errors * np.sqrt(len(errors) / max(len(errors) - len(self.fit.theta), 1))
    losses = self.predict(x)
    return losses * np.exp(rng.choice(errors, losses.shape))


def bootstrap(fit: Fit, samples: int = SAMPLES, level: float = LEVEL, seed: int = 0) -> Bootstrap:
  """Refits a law to samples of its runs, all of them at once.

  Args:
    fit: fit to start from.
    samples: number of samples B.
    level: share of studies whose intervals are to hold the truth.
    seed: seed of the draws.
  """
  rng = np.random.default_rng([seed, 0])
  runs = fit.points.run_numbers()
  count = runs.max() + 1
  weights = rng.multinomial(count, np.full(count, 1 / count), samples)[:, runs].astype(np.float64)
  starts = np.tile(fit.theta, (samples, 1))
  found = minimise(fit.law, fit.x, fit.points.losses, fit.criterion, starts, weights)
  return Bootstrap(fit, found.theta, level, seed)


def _quantiles(values: np.ndarray, shares: np.ndarray) -> np.ndarray:
  """Gives quantiles of values [B, ...] along the first axis, by a share for each, [2, ...]."""
  ordered = np.sort(values, axis=0)
  places = shares * (len(values) - 1)
  before = np.floor(places).astype(int)
  after = np.minimum(before + 1, len(values) - 1)
  low, high = (np.take_along_axis(ordered, at, axis=0) for at in (before, after))
  return low + (places - before) * (high - low)
