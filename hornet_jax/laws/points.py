"""The points that a law is fitted to, each with the run that it is of."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from hornet_jax.errors import InputError

LEAST, MOST = 1e-60, 1e60
"""Numbers of points, whose products, powers and squares stay numbers."""


@dataclasses.dataclass(frozen=True, eq=False)
class Points:
  """`Points` are losses at known scales.

  Attributes:
    values: role -> values [n]; roles are `"size"`, `"data"`, `"compute"`, `"scale"`, `"loss"` and
      `"error"`, of which `"loss"` is always there.
    names: role -> name of the column that it was read from, which stands in tables and on axes.
    runs: name of the run that each point is of, [n]; points of one run are resampled together.
  """

  values: Mapping[str, np.ndarray]
  names: Mapping[str, str]
  runs: np.ndarray

  def __len__(self) -> int:
    return len(self.runs)

  @property
  def losses(self) -> np.ndarray:
    """Gives the losses [n]."""
    return self.values["loss"]

  def axes(self, roles: tuple[str, ...]) -> np.ndarray:
    """Stacks the values of some roles, [k, n]."""
    return np.stack([self.values[role] for role in roles])

  def take(self, chosen: np.ndarray) -> "Points":
    """Gives some of the points.

    Args:
      chosen: bool [n], or indices.
    """
    values = {role: numbers[chosen] for role, numbers in self.values.items()}
    return Points(values, self.names, self.runs[chosen])

  def run_numbers(self) -> np.ndarray:
    """Numbers the runs from 0, [n]."""
    return np.unique(self.runs, return_inverse=True)[1]


def check_number(of: str, value: float, got: str = "") -> None:
  """Raises `InputError` for what is no number that a law can be fitted to.

  Args:
    of: what it is a number of.
    value: the number.
    got: what to say of it, where it is not the number itself.
  """
  if LEAST <= value <= MOST:
    return
  is_odd = 0 < value < np.inf
  wanted = f"numbers from {LEAST:g} to {MOST:g}" if is_odd else "positive numbers"
  raise InputError(f"{of} must hold {wanted}: got {got or f'{value:g}'}.")


def make_points(
  names: Mapping[str, str] | None = None,
  runs: ArrayLike | None = None,
  **values: ArrayLike,
) -> Points:
  """Makes points from arrays, as in a notebook: `make_points(size=N, data=D, loss=L)`.

  Args:
    names: role -> name on axes and in tables; the role itself where there is none.
    runs: names of the runs [n]; None where every point is a run of its own.
    values: roles -> values [n].

  Raises:
    InputError: if there are no losses, arrays have other lengths, or a number is not positive.
  """
  arrays = {role: np.asarray(numbers, np.float64) for role, numbers in values.items()}
  if "loss" not in arrays:
    raise InputError(f"points must have a `loss`: got {', '.join(sorted(arrays)) or 'nothing'}.")
  shape = arrays["loss"].shape
  for role, numbers in arrays.items():
    if numbers.shape != shape or numbers.ndim != 1:
      raise InputError(
        f"`{role}` must be a list of as many numbers as `loss`: expected shape {shape}, got "
        f"{numbers.shape}."
      )
    for number in numbers:
      check_number(role, float(number))
  (count,) = shape
  runs = np.arange(count).astype(str) if runs is None else np.asarray(runs)
  return Points(arrays, {role: role for role in arrays} | dict(names or {}), runs)
