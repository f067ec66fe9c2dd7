"""The last digits of a fit: the search for many fits squares the condition of the problem."""

import numpy as np
from scipy import optimize

from hornet_jax.laws.criterion import Criterion
from hornet_jax.laws.law import Law
from hornet_jax.laws.minimise import Minima, from_search, minimise, to_search

_TOLERANCE, _EVALUATIONS = 1e-15, 5000
_LEAST = 1e-300  # of a parameter that is searched by its logarithm
_TRACE = 1e-100  # a parameter that has fallen to this is 0


def polish(
  law: Law, x: np.ndarray, losses: np.ndarray, criterion: Criterion, theta: np.ndarray
) -> Minima:
  """Goes on from the end of a search until the sum is no longer lowered.

  Squares go by MINPACK's Levenberg-Marquardt, which factors the derivatives themselves: along the
  valley of a broken law it arrives where normal equations stop. Huber's loss goes on as before.

  Args:
    law: law to fit.
    x: points, a row for each axis, [k, n].
    losses: losses [n].
    criterion: what is made small.
    theta: parameters [p].
  """
  on = minimise(law, x, losses, criterion, theta[None], tolerance=_TOLERANCE)
  if criterion.delta is not None:
    return on
  is_positive = law.is_positive()

  def residuals(place: np.ndarray) -> np.ndarray:
    return criterion.residuals(law.predict(from_search(place, is_positive), x), losses)

  def derivatives(place: np.ndarray) -> np.ndarray:
    at = from_search(place, is_positive)
    value, slopes = law.value_and_slopes(at, x)
    return criterion.by_residual(slopes * np.where(is_positive, at, 1.0), value)

  start = to_search(
    np.where(is_positive, np.maximum(on.theta[0], _LEAST), on.theta[0]), is_positive
  )
  limits = {"xtol": _TOLERANCE, "ftol": _TOLERANCE, "gtol": _TOLERANCE, "max_nfev": _EVALUATIONS}
  with np.errstate(all="ignore"):  # a step that overflows is not taken
    end = optimize.least_squares(residuals, start, derivatives, method="lm", **limits).x
    found = from_search(end, is_positive)
  if not np.isfinite(found).all():
    return on
  found = np.where(is_positive & (found < _TRACE), 0.0, found)
  further = minimise(law, x, losses, criterion, found[None], steps=0)
  return further if further.objective[0] <= on.objective[0] else on
