"""Scaling laws: what loss larger runs will have, how sure that is, and which size is best.

Everything is float64 NumPy, and takes arrays as they are at hand in a notebook:

  points = make_points(size=N, data=D, loss=L)
  found = fit(get_law("chinchilla"), points, SQUARES)
  samples = bootstrap(found)
"""

from hornet_jax.laws.catalogue import LAWS, get_law
from hornet_jax.laws.criterion import HUBER, LOG_SQUARES, SQUARES, Criterion
from hornet_jax.laws.fitting import Fit, evaluate_at, fit, fit_from
from hornet_jax.laws.points import Points, make_points
from hornet_jax.laws.resampling import Bootstrap, bootstrap

__all__ = [
  "HUBER",
  "LAWS",
  "LOG_SQUARES",
  "SQUARES",
  "Bootstrap",
  "Criterion",
  "Fit",
  "Points",
  "bootstrap",
  "evaluate_at",
  "fit",
  "fit_from",
  "get_law",
  "make_points",
]
