"""Damped Gauss-Newton steps for many fits at once: starts, resamples, profiles."""

from typing import NamedTuple

import numpy as np

from hornet_jax.laws.criterion import Criterion
from hornet_jax.laws.law import Law

MAX_STEPS = 400
_LONGEST = 2.0  # change of a parameter, or of its logarithm, in a step
_DAMPING, _LESS, _MORE, _TOO_MUCH = 1e-3, 0.2, 5.0, 1e8
_NUMBERS = 1 << 19  # of the derivatives at once: they stay in the cache


class Minima(NamedTuple):
  """`Minima` are the ends of B searches.

  Attributes:
    theta: parameters [B, p].
    objective: sums of the criterion, [B].
    gradient: norm of the derivative of the sum by what is searched (logarithms of positive
      parameters), over the sum, [B].
  """

  theta: np.ndarray
  objective: np.ndarray
  gradient: np.ndarray


def minimise(
  law: Law,
  x: np.ndarray,
  losses: np.ndarray,
  criterion: Criterion,
  starts: np.ndarray,
  weights: np.ndarray | None = None,
  free: np.ndarray | None = None,
  tolerance: float = 1e-8,
  steps: int = MAX_STEPS,
) -> Minima:
  """Minimises the sum of the criterion from each start.

  A search ends when a step lowers its sum by less than the tolerance, which is relative: neither
  the unit of the loss nor the number of points can stop it early.

  Args:
    law: law to fit.
    x: points, a row for each axis, [k, n].
    losses: losses [n].
    criterion: what is made small.
    starts: parameters [B, p].
    weights: weight of each point in each search, [B, n]; None for ones.
    free: parameters that may move, bool [p]; None for all.
    tolerance: relative decrease at which a search ends.
    steps: largest number of steps; 0 evaluates the starts.
  """
  weights = np.ones((len(starts), len(losses))) if weights is None else weights
  free = np.ones(starts.shape[1], bool) if free is None else free
  size = max(1, _NUMBERS // (len(losses) * starts.shape[1]))
  found = [
    _search(law, x, losses, criterion, starts[part], weights[part], free, tolerance, steps)
    for part in (slice(i, i + size) for i in range(0, len(starts), size))
  ]
  return Minima(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _search(
  law: Law,
  x: np.ndarray,
  losses: np.ndarray,
  criterion: Criterion,
  starts: np.ndarray,
  weights: np.ndarray,
  free: np.ndarray,
  tolerance: float,
  steps: int,
) -> Minima:
  is_positive = law.is_positive()

  def evaluate(places: np.ndarray, of: np.ndarray) -> tuple[np.ndarray, ...]:
    """Gives the objective, its gradient and its curvature at places [b, p]."""
    theta = from_search(places, is_positive)
    value, slopes = law.value_and_slopes(theta, x)
    residuals = criterion.residuals(value, losses)
    slopes = slopes * np.where(is_positive, theta, 1.0)[:, None] * free
    slopes = criterion.by_residual(slopes, value)
    objective = criterion.objective(residuals, of)
    pulls = of * criterion.slope(residuals)
    gradient = np.einsum("bn,bnp->bp", pulls, slopes)
    bent = (of * criterion.curvature(residuals))[..., None] * slopes
    curvature = np.matmul(bent.transpose(0, 2, 1), slopes)
    return np.where(np.isfinite(objective), objective, np.inf), gradient, curvature

  with np.errstate(all="ignore"):  # a step that overflows is not taken
    places = to_search(starts, is_positive)
    state = evaluate(places, weights)
    damping = np.full(len(starts), _DAMPING)
    active = np.flatnonzero(np.isfinite(state[0]))
    for _ in range(steps):
      if not len(active):
        break
      step = _step(state[1][active], state[2][active], damping[active])
      new = places[active] + step
      after = evaluate(new, weights[active])
      before = state[0][active]
      better = after[0] < before
      taken = active[better]
      places[taken] = new[better]
      for old, fresh in zip(state, after, strict=True):
        old[taken] = fresh[better]
      damping[active] *= np.where(better, _LESS, _MORE)
      settled = better & (before - after[0] <= tolerance * before)
      active = active[~settled & (damping[active] < _TOO_MUCH)]
    objective, gradient, _ = state
    # Parameters at zero have no logarithm, and no pull.
    steepness = np.linalg.norm(gradient, axis=1) / np.where(objective > 0, objective, 1.0)
  return Minima(from_search(places, is_positive), objective, steepness)


def _step(gradient: np.ndarray, curvature: np.ndarray, damping: np.ndarray) -> np.ndarray:
  """Solves for steps [b, p]; what has no curvature stays where it is."""
  diagonal = np.einsum("bpp->bp", curvature)
  least = np.maximum(1e-14 * diagonal.max(axis=1, keepdims=True), 1e-300)
  added = damping[:, None] * diagonal + least
  matrix = curvature + added[:, :, None] * np.eye(gradient.shape[1])
  usable = np.isfinite(matrix).all(axis=(1, 2))
  matrix[~usable] = np.eye(gradient.shape[1])
  step = -np.linalg.solve(matrix, gradient[..., None])[..., 0]
  return np.clip(np.nan_to_num(step), -_LONGEST, _LONGEST)


def to_search(theta: np.ndarray, is_positive: np.ndarray) -> np.ndarray:
  """Takes the logarithms of positive parameters: where a search goes, [..., p]."""
  return np.where(is_positive, np.log(np.where(is_positive, theta, 1.0)), theta)


def from_search(places: np.ndarray, is_positive: np.ndarray) -> np.ndarray:
  """Turns places of a search into parameters, [..., p]."""
  return np.where(is_positive, np.exp(np.where(is_positive, places, 0.0)), places)
