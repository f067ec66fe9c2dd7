"""How well a law predicts runs that it has not seen: larger ones, and other sizes."""

from typing import NamedTuple

import numpy as np

from hornet_jax.errors import InputError
from hornet_jax.laws.criterion import Criterion
from hornet_jax.laws.fitting import STARTS, Fit, check_enough, fit
from hornet_jax.laws.law import Law
from hornet_jax.laws.points import Points
from hornet_jax.wording import counted

_SHARE = 0.8  # of the points that are trained on, where no bound is given
_GROUPS = 8


class Holdout(NamedTuple):
  """A `Holdout` is a fit with the points that it did not see.

  Attributes:
    fit: fit to the others.
    held: points that it did not see.
    bound: scale from which points were held out; None where it is not by a scale.
  """

  fit: Fit
  held: Points
  bound: float | None = None

  @property
  def log_errors(self) -> np.ndarray:
    """Gives log of measured over predicted of the points that it did not see, [h]."""
    predicted = self.fit.predict(self.held.axes(self.fit.law.axes))
    return np.log(self.held.losses / predicted)

  @property
  def rmse(self) -> float:
    """Gives the root of the mean square of them."""
    return float(np.sqrt((self.log_errors**2).mean()))


def hold_out_larger(
  law: Law,
  points: Points,
  criterion: Criterion,
  role: str,
  bound: float | None = None,
  starts: int = STARTS,
) -> Holdout:
  """Fits to the points below a scale and predicts those from it on.

  Args:
    law: law to fit.
    points: points to split.
    criterion: what is made small.
    role: role of the column to split by, such as `"compute"`.
    bound: scale c0, of which and beyond which points are held out; None for the largest fifth.
    starts: number of searches.

  Raises:
    InputError: if no point is held out, or too few are left.
  """
  is_held, bound = split_larger(points, role, bound)
  found = _fit_rest(law, points, criterion, is_held, starts)
  return Holdout(found, points.take(is_held), bound)


def split_larger(points: Points, role: str, bound: float | None = None) -> tuple[np.ndarray, float]:
  """Tells which points are at a scale and beyond it.

  Args:
    points: points to split.
    role: role of the column to split by, such as `"compute"`.
    bound: scale c0; None for that from which on the largest fifth is.

  Returns:
    Which points are, bool [n], and the scale.

  Raises:
    InputError: if no point is.
  """
  scale = points.values[role]
  if bound is None:
    bound = float(np.quantile(scale, _SHARE, method="higher"))
  is_held = scale >= bound
  if not is_held.any():
    raise InputError(
      f"the hold-out must have points: expected some from {points.names[role]} = {bound:g} on, got "
      f"none above {scale.max():g}."
    )
  return is_held, bound


def leave_one_size_out(
  law: Law, points: Points, criterion: Criterion, role: str, starts: int = STARTS
) -> list[Holdout]:
  """Leaves out each size in turn; more than eight sizes are grouped, neighbours together.

  Sizes without which the others cannot determine the law are skipped.

  Args:
    law: law to fit.
    points: points to split.
    criterion: what is made small.
    role: role of the column to group by, such as `"size"`.
    starts: number of searches.
  """
  sizes = np.unique(points.values[role])
  found = []
  for group in np.array_split(sizes, min(len(sizes), _GROUPS)):
    is_held = np.isin(points.values[role], group)
    try:
      rest = _fit_rest(law, points, criterion, is_held, starts)
    except InputError:
      continue
    found.append(Holdout(rest, points.take(is_held)))
  return found


def _fit_rest(
  law: Law, points: Points, criterion: Criterion, is_held: np.ndarray, starts: int
) -> Fit:
  rest = points.take(~is_held)
  try:
    check_enough(law, rest)
  except InputError as error:
    held = counted(int(is_held.sum()), "point")
    raise InputError(f"without the {held} that are held out: {error}") from error
  return fit(law, rest, criterion, starts)
