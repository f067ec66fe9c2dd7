"""The profile of a parameter: how well the law can fit while that one is held."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from hornet_jax.laws.fitting import Fit
from hornet_jax.laws.minimise import minimise

_NEAR, _FAR, _STEPS = 1e-3, 3.0, 48  # distances that are tried, over the value; to either side
_TINY = 1e-300  # sum of a fit that meets all points


class Profile(NamedTuple):
  """A `Profile` is the smallest objective for each value of a parameter.

  Attributes:
    name: name of the parameter.
    values: values that it was held at, ascending [m].
    objectives: smallest sums of the criterion there, [m].
    theta: parameters there, [m, p].
  """

  name: str
  values: np.ndarray
  objectives: np.ndarray
  theta: np.ndarray


def profile(fit: Fit, name: str, values: np.ndarray) -> Profile:
  """Holds a parameter at each of some values and fits the others, from the fit on.

  Args:
    fit: fit with the optimum.
    name: name of the parameter.
    values: values to hold it at, ascending [m].
  """
  at = fit.law.parameters.index(name)
  free = np.arange(len(fit.theta)) != at
  starts = np.tile(fit.theta, (len(values), 1))
  starts[:, at] = values
  found = minimise(fit.law, fit.x, fit.points.losses, fit.criterion, starts, free=free)
  return Profile(name, values, found.objective, found.theta)


def profile_around(fit: Fit, name: str) -> Profile:
  """Profiles a parameter near and far from the optimum, which is one of the values.

  A parameter that is never negative is followed down to nearly zero.
  """
  value = float(fit.theta[fit.law.parameters.index(name)])
  distances = np.geomspace(_NEAR, _FAR, _STEPS)
  factors = np.concatenate([-distances[::-1], [0.0], distances])
  if name in fit.law.positive:
    factors = factors[factors > -1]
  return profile(fit, name, np.sort(value * (1 + factors)))


def ratio_statistic(fit: Fit, objectives: np.ndarray) -> np.ndarray:
  """Tells how much worse than the optimum some sums are, in squares of standard deviations.

  For squares it is the F statistic of one restriction. For Huber's loss, which is nearly that of
  the median, the increase is weighed with the density of the residuals at zero (Koenker and
  Bassett, Econometrica 50, 1982). Points of one run count as one.

  Args:
    fit: fit with the optimum.
    objectives: sums of its criterion, [m].
  """
  count, runs = len(fit.points), len(np.unique(fit.points.runs))
  more = objectives - fit.objective
  if fit.criterion.delta is None:
    statistic = more / max(fit.objective, _TINY) * (count - len(fit.theta))
  else:
    statistic = 4 * _density_at_zero(fit.residuals()) * more / fit.criterion.delta
  return statistic * runs / count


def profile_interval(fit: Fit, name: str, level: float) -> tuple[float, float]:
  """Gives the interval of a parameter by its profile likelihood.

  An end that the profile does not reach is the last value that was tried, or 0 for a parameter that
  is never negative.

  Args:
    fit: fit with the optimum.
    name: name of the parameter.
    level: share of studies whose intervals are to hold the truth.
  """
  found = profile_around(fit, name)
  freedom = max(len(np.unique(fit.points.runs)) - len(fit.theta), 1)
  limit = stats.t.ppf((1 + level) / 2, freedom) ** 2
  roots = np.sqrt(np.maximum(ratio_statistic(fit, found.objectives), 0.0))
  best = int(np.argmin(found.objectives))
  lower = _crossing(found.values[best::-1], roots[best::-1], np.sqrt(limit))
  upper = _crossing(found.values[best:], roots[best:], np.sqrt(limit))
  last = 0.0 if name in fit.law.positive else float(found.values[0])
  return last if lower is None else lower, float(found.values[-1]) if upper is None else upper


def span_within(fit: Fit, name: str, share: float) -> tuple[float, float]:
  """Gives the values of a parameter whose objective is within a share of the smallest one."""
  found = profile_around(fit, name)
  inside = found.values[found.objectives <= (1 + share) * fit.objective]
  value = float(fit.theta[fit.law.parameters.index(name)])
  return min([*inside.tolist(), value]), max([*inside.tolist(), value])


def _crossing(values: np.ndarray, roots: np.ndarray, limit: float) -> float | None:
  """Interpolates where a profile, followed from its optimum outwards, crosses a limit."""
  beyond = np.flatnonzero(roots > limit)
  if not len(beyond) or beyond[0] == 0:
    return None
  i = beyond[0]
  share = (limit - roots[i - 1]) / (roots[i] - roots[i - 1])
  return float(values[i - 1] + share * (values[i] - values[i - 1]))


def _density_at_zero(residuals: np.ndarray) -> float:
  quarters = np.subtract(*np.percentile(residuals, [75, 25])) / 1.349
  width = 1.06 * max(min(residuals.std(), quarters), 1e-12) * len(residuals) ** -0.2
  return float(stats.norm.pdf(residuals / width).mean() / width)
