"""The benchmark's own way to fit M2 and M4, which stops near where it starts.

It alternates between least squares and a slow descent of the ends e_inf and e_0. What it makes
small, the squares of log(y - e_inf) minus log(f(x)), is smallest at e_inf = 0 on most curves, where
M2 is M1 and extrapolates no better: the published quality of M2 and M4 is that of a search which
starts just below the smallest loss and does not get there. This module repeats it, to compare with
published numbers; `fit` has the law's own residuals, whose smallest sum is where it should be.

Source: the scheme, not the code, of arXiv 2209.06640's release (methods m2 and m4).
"""

import numpy as np
from scipy.optimize import nnls

from hornet_jax.errors import InputError, unknown_name

_LAWS = ("m2", "m4")
_CEILING = 1.0  # e_0 at the start: the error rate of guessing
_MARGIN = 1e-3  # between the ends and the losses
_DESCENTS, _STEPS, _RATE = 100, 1000, 1e-8
_ROUNDS, _NEWTON_STEPS, _NEWTON_RATE = 10_000, 100, 0.1
_SETTLED = 1e-10  # change of b
_FLAT = 1e-5  # curvature below which Newton's steps of M4 are left out


def check_released(name: str) -> None:
  """Raises `InputError` for a law that was not released with a scheme of its own."""
  if name not in _LAWS:
    raise unknown_name("law with a released scheme", name, _LAWS)


def fit_as_released(name: str, x: np.ndarray, losses: np.ndarray) -> np.ndarray:
  """Fits M2 or M4 as its authors did, with e_0 = 1 at the start.

  Args:
    name: name of the law, `"m2"` or `"m4"`.
    x: scales [n].
    losses: losses [n].

  Returns:
    Parameters of the law of that name.

  Raises:
    InputError: if the law has another name, or the scheme cannot start at such losses.
  """
  check_released(name)
  has_ceiling = name == "m4"
  lowest, highest = losses.min() - _MARGIN, losses.max() + _MARGIN
  if lowest <= 0 or (has_ceiling and losses.max() >= _CEILING):
    top = f" and below {_CEILING:g}" if has_ceiling else ""
    raise InputError(
      f"the released scheme of {name} must have losses above {_MARGIN:g}{top}, to start: got "
      f"{losses.min():.4g} to {losses.max():.4g}. Hint: leave out `released`."
    )
  e_inf, e_0 = lowest, _CEILING if has_ceiling else highest  # M2 does not depend on it
  log_x = np.log(x)
  # The scheme never updates this matrix: e_0 in it stays what it was at the start.
  columns = [np.ones_like(log_x), -log_x, *([np.log(e_0 - losses)] if has_ceiling else [])]
  matrix = np.stack(columns, axis=1)
  before = 1.0
  for turn in range(_ROUNDS):
    labels = np.log(losses - e_inf)
    solved = nnls(matrix, labels)[0] if has_ceiling else np.linalg.lstsq(matrix, labels)[0]
    log_b, c, alpha = solved[0], -solved[1], solved[2] if has_ceiling else 0.0
    right = log_b + c * log_x
    is_descent = turn < _DESCENTS
    for _ in range(_STEPS if is_descent else _NEWTON_STEPS):
      above, below = losses - e_inf, e_0 - losses
      rest = np.log(above) - alpha * np.log(below) - right
      pull_inf, pull_0 = -(rest / above).mean(), -alpha * (rest / below).mean()
      if is_descent:
        e_inf, e_0 = e_inf - _RATE * pull_inf, e_0 - _RATE * pull_0
      else:
        bend_inf = ((1 - rest) / above**2).mean()
        bend_0 = alpha * ((alpha + rest) / below**2).mean()
        if not has_ceiling or abs(bend_inf) > _FLAT:
          e_inf -= _NEWTON_RATE * pull_inf / bend_inf
        if abs(bend_0) > _FLAT:
          e_0 -= _NEWTON_RATE * pull_0 / bend_0
      e_inf, e_0 = min(max(e_inf, 0.0), lowest), max(e_0, highest)
    b = np.exp(log_b)
    if abs(b - before) < _SETTLED and turn > _DESCENTS + 1:
      break
    before = b
  return np.array([e_inf, e_0, alpha, b, c] if has_ceiling else [e_inf, b, c])


def released_sum(law: str, theta: np.ndarray, x: np.ndarray, losses: np.ndarray) -> float:
  """Gives the sum of squares that the scheme makes small.

  Args:
    law: name of the law, `"m2"` or `"m4"`.
    theta: its parameters.
    x: scales [n].
    losses: losses [n].
  """
  e_inf, b, c = theta[0], theta[-2], theta[-1]
  left = np.log(losses - e_inf)
  if law == "m4":
    left = left - theta[2] * np.log(theta[1] - losses)
  return float(((left - np.log(b) - c * np.log(x)) ** 2).sum())


def released_sum_at_corner(law: str, theta: np.ndarray, x: np.ndarray, losses: np.ndarray) -> float:
  """Gives the smallest such sum with e_inf = 0 and, for M4, the same e_0."""
  columns = [np.ones_like(x), -np.log(x)]
  columns += [np.log(theta[1] - losses)] if law == "m4" else []
  left = nnls(np.stack(columns, axis=1), np.log(losses))[1]
  return float(left**2)
