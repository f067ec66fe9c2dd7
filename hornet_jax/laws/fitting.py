"""A fit is the best of many searches, and knows how it was found."""

import dataclasses

import numpy as np

from hornet_jax.errors import InputError
from hornet_jax.laws.criterion import Criterion
from hornet_jax.laws.law import Law
from hornet_jax.laws.minimise import Minima, minimise
from hornet_jax.laws.points import Points
from hornet_jax.laws.polish import polish
from hornet_jax.wording import counted

STARTS = 256
_ONE_VALUE = 1e-6  # relative difference of values that are one


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
  """A `Fit` is a law with the parameters that fit the points best.

  Attributes:
    law: law that was fitted.
    points: points that it was fitted to.
    criterion: what was made small.
    theta: parameters [p].
    objective: sum of the criterion at them.
    gradient: norm of its derivative there, over the sum; see `Minima`.
    ends: where all searches ended.
  """

  law: Law
  points: Points
  criterion: Criterion
  theta: np.ndarray
  objective: float
  gradient: float
  ends: Minima

  @property
  def x(self) -> np.ndarray:
    """Gives the points on the axes of the law, [k, n]."""
    return self.points.axes(self.law.axes)

  @property
  def parameters(self) -> dict[str, float]:
    """Gives the parameters by their names."""
    return dict(zip(self.law.parameters, self.theta.tolist(), strict=True))

  def predict(self, x: np.ndarray) -> np.ndarray:
    """Predicts losses [n] at points [k, n]."""
    return self.law.predict(self.theta, x)

  def aicc(self) -> float:
    """Gives Akaike's criterion, corrected for few points; only fits to one criterion compare.

    The likelihood is Gaussian for squares and Laplace's for Huber's loss, with a fitted scale.
    """
    count, params = len(self.points), len(self.theta) + 1
    if count <= params + 1:
      return np.inf
    factor = 1 if self.criterion.delta is None else 2
    fitted = factor * count * np.log(max(self.objective, 1e-300) / count)
    return float(fitted + 2 * params * count / (count - params - 1))

  def near(self, share: float) -> np.ndarray:
    """Tells which searches ended within a share of the best sum, bool [starts]."""
    return self.ends.objective <= self.objective * (1 + share)

  def residuals(self) -> np.ndarray:
    """Gives predicted minus measured as the criterion sees them, [n]."""
    return self.criterion.residuals(self.predict(self.x), self.points.losses)

  def log_errors(self) -> np.ndarray:
    """Gives log of measured over predicted, [n]."""
    return np.log(self.points.losses / self.predict(self.x))


def fit(law: Law, points: Points, criterion: Criterion, starts: int = STARTS, seed: int = 0) -> Fit:
  """Fits a law from many starts.

  Args:
    law: law to fit.
    points: points to fit it to.
    criterion: what is made small.
    starts: number of searches; a law whose starts are a grid may round it.
    seed: seed of the random starts.

  Raises:
    InputError: if there are fewer points than parameters, or all of them have one scale.
  """
  check_enough(law, points)
  x = points.axes(law.axes)
  rng = np.random.default_rng(seed)
  found = minimise(law, x, points.losses, criterion, law.starts(rng, starts, x, points.losses))
  best = polish(law, x, points.losses, criterion, found.theta[found.objective.argmin()])
  return _make_fit(law, points, criterion, best, found)


def fit_from(law: Law, points: Points, criterion: Criterion, theta: np.ndarray) -> Fit:
  """Fits a law by one search from given parameters [p]."""
  found = polish(law, points.axes(law.axes), points.losses, criterion, theta)
  return _make_fit(law, points, criterion, found, found)


def evaluate_at(law: Law, points: Points, criterion: Criterion, theta: np.ndarray) -> Fit:
  """Evaluates published parameters [p]: a fit without a search."""
  x = points.axes(law.axes)
  found = minimise(law, x, points.losses, criterion, theta[None], steps=0)
  return _make_fit(law, points, criterion, found, found)


def _make_fit(law: Law, points: Points, criterion: Criterion, best: Minima, ends: Minima) -> Fit:
  objective, gradient = float(best.objective[0]), float(best.gradient[0])
  return Fit(law, points, criterion, best.theta[0], objective, gradient, ends)


def is_enough(law: Law, points: Points) -> bool:
  """Tells whether points can determine a law; see `check_enough`."""
  try:
    check_enough(law, points)
  except InputError:
    return False
  return True


def check_enough(law: Law, points: Points) -> None:
  """Raises `InputError` where points cannot determine a law."""
  needed = len(law.parameters)
  if len(points) < needed:
    raise InputError(
      f"{law.name} has {needed} parameters and needs as many points: got "
      f"{counted(len(points), 'point')}. Hint: a law with fewer parameters, or more runs."
    )
  for role in (*law.axes, "loss"):
    if np.ptp(np.log(points.values[role])) < _ONE_VALUE:
      raise InputError(
        f"{law.name} needs points at several values of {points.names[role]}: got "
        f"{points.values[role][0]:g} in all {len(points)}."
      )
