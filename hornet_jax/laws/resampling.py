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

  def interval(self, values: np.ndarray) -> np.ndarray:
    """Gives the interval of a quantity by its values in the refits.

    Its ends are percentiles. Those of squares are moved outwards as far as Student's distribution
    is wider than the normal one for as many runs: else intervals of small studies are too narrow.
    Those of Huber's loss, which hangs on the few residuals within delta, are wide enough without.

    Source: expanded percentile intervals, arXiv 1411.5279, section 5.3.

    Args:
      values: values [B, ...].

    Returns:
      Lower and upper ends, [2, ...].
    """
    tail = (1 - self.level) / 2
    if self.fit.criterion.delta is None:
      runs = len(np.unique(self.fit.points.runs))
      freedom = max(runs - len(self.fit.theta), 1)
      wide = stats.t.ppf(1 - tail, freedom) * np.sqrt(runs / max(runs - 1, 1))
      tail = stats.norm.cdf(-wide)
    return np.quantile(values, [tail, 1 - tail], axis=0)

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
