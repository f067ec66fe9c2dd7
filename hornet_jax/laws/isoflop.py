"""Optima read off the data: parabolas through runs of one budget, and powers through optima."""

import dataclasses
from typing import NamedTuple

import numpy as np

from hornet_jax.errors import InputError

_SAME_BUDGET = 1.04  # factor between neighbours of one budget
_NEEDED, _RANGE = 3, 3.0  # sizes of a parabola, and the factor from the smallest to the largest
_APART = 2.0  # factor between scales of a local exponent


class Parabola(NamedTuple):
  """A `Parabola` goes through the runs of one budget: loss against log10 of the size.

  The exponent of its optima over budgets is right for a law of Chinchilla's form, but the optima
  are off where the two exponents differ and the sizes are far apart: by a constant factor, to which
  extrapolation adds nothing. The law fitted to all points has no such error.

  Source: approach 2 of arXiv 2203.15556; its error, arXiv 2603.22339.

  Attributes:
    budget: compute of its runs, the geometric mean.
    members: points that it goes through, bool [n].
    coefficients: coefficients of the square, of the log10 of the size, and the constant.
    size: size at its lowest point; NaN where it has none.
    loss: loss there.
  """

  budget: float
  members: np.ndarray
  coefficients: np.ndarray
  size: float
  loss: float


def fit_parabolas(size: np.ndarray, compute: np.ndarray, losses: np.ndarray) -> list[Parabola]:
  """Fits a parabola to each budget with at least three sizes, the largest three times the smallest.

  Runs whose compute is within 4 % of their neighbour's have one budget.

  Args:
    size: sizes [n].
    compute: compute of whole runs, [n].
    losses: losses [n].
  """
  order = np.argsort(compute)
  gaps = np.diff(np.log(compute[order])) > np.log(_SAME_BUDGET)
  groups = np.split(order, np.flatnonzero(gaps) + 1)
  found = []
  for group in groups:
    sizes = np.unique(size[group])
    if len(sizes) >= _NEEDED and sizes[-1] >= _RANGE * sizes[0]:
      found.append(_parabola(size, compute, losses, group))
  return found


def _parabola(
  size: np.ndarray, compute: np.ndarray, losses: np.ndarray, group: np.ndarray
) -> Parabola:
  square, slope, constant = np.polyfit(np.log10(size[group]), losses[group], 2)
  lowest = -slope / (2 * square) if square > 0 else np.nan
  members = np.zeros(len(size), bool)
  members[group] = True
  return Parabola(
    float(np.exp(np.log(compute[group]).mean())),
    members,
    np.array([square, slope, constant]),
    float(10**lowest),
    float(constant + slope * lowest / 2),
  )


@dataclasses.dataclass(frozen=True)
class PowerLine:
  """A `PowerLine` is y = factor * x^exponent."""

  exponent: float
  factor: float

  def __call__(self, x: np.ndarray) -> np.ndarray:
    """Evaluates it at x [n]."""
    return self.factor * x**self.exponent


def fit_power_line(x: np.ndarray, y: np.ndarray, deviations: np.ndarray | None = None) -> PowerLine:
  """Fits a power by least squares of logarithms, as through optimal sizes over compute.

  Args:
    x: numbers [n], such as budgets.
    y: numbers [n], such as optimal sizes.
    deviations: standard deviations of log y, [n]; None where all are equal.

  Raises:
    InputError: if there are not two different x.
  """
  if len(np.unique(x)) < 2:
    raise InputError(f"a power must be fitted to two points or more: got {len(np.unique(x))}.")
  weights = None if deviations is None else 1 / deviations
  exponent, log_factor = np.polyfit(np.log(x), np.log(y), 1, w=weights)
  return PowerLine(float(exponent), float(np.exp(log_factor)))


def frontier(compute: np.ndarray, losses: np.ndarray) -> np.ndarray:
  """Finds the points that no cheaper one equals: indices [f] by ascending compute."""
  order = np.lexsort((losses, compute))
  lowest = np.minimum.accumulate(losses[order])
  before = np.concatenate([[np.inf], lowest[:-1]])
  return order[losses[order] < before]


def local_exponents(scale: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Gives the exponents along the frontier: a power law has one, a real curve several.

  They are taken between points whose scales are a factor of two apart, or more.

  Args:
    scale: scales [n], such as compute.
    values: losses or error rates, [n].

  Returns:
    Scales in the middle (of their logarithms) and -d log(value) / d log(scale), as many of each.
  """
  chosen: list[int] = []
  for i in frontier(scale, values).tolist():
    if not chosen or scale[i] >= _APART * scale[chosen[-1]]:
      chosen.append(i)
  logs, heights = np.log(scale[chosen]), np.log(values[chosen])
  return np.exp((logs[1:] + logs[:-1]) / 2), -np.diff(heights) / np.diff(logs)
