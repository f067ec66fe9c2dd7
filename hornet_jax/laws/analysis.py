"""All that is asked of one table of runs: the fit, what speaks against it, and what it predicts."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from hornet_jax.errors import InputError
from hornet_jax.laws.accounting import Cost
from hornet_jax.laws.criterion import LOG_SQUARES, Criterion
from hornet_jax.laws.doubts import Doubt, find_doubts, find_released_doubts
from hornet_jax.laws.fitting import STARTS, Fit, check_enough, evaluate_at, fit
from hornet_jax.laws.holdout import Holdout, hold_out_larger, leave_one_size_out
from hornet_jax.laws.law import Law
from hornet_jax.laws.optimum import Optimum, best_split
from hornet_jax.laws.points import Points
from hornet_jax.laws.profiles import profile_interval
from hornet_jax.laws.released import fit_as_released
from hornet_jax.laws.resampling import LEVEL, SAMPLES, Bootstrap, bootstrap

_FEWEST = 20  # samples of which ends of intervals can be told
_SMALLEST, _LARGEST = 1e-3, 1e6  # sizes that are considered, over those of the points


@dataclasses.dataclass(frozen=True)
class Options:
  """`Options` are what an analysis can be told.

  Attributes:
    starts: number of searches.
    samples: number of samples of the bootstrap; 0 for none.
    level: share of studies whose intervals are to hold the truth.
    seed: seed of starts and samples.
    holdout: compute (or scale) from which points are held out; None for the largest fifth.
  """

  starts: int = STARTS
  samples: int = SAMPLES
  level: float = LEVEL
  seed: int = 0
  holdout: float | None = None

  def __post_init__(self) -> None:
    if not 0 < self.level < 1:
      raise InputError(f"`level` must be between 0 and 1: got {self.level}.")
    if self.samples and self.samples < _FEWEST:
      raise InputError(f"`samples` must be 0, or {_FEWEST} and more: got {self.samples}.")
    if self.seed < 0:
      raise InputError(f"`seed` must not be negative: got {self.seed}.")


@dataclasses.dataclass(frozen=True, eq=False)
class Analysis:
  """An `Analysis` is a fit with all that is said of it.

  Attributes:
    fit: fit to all points that may be fitted to.
    samples: bootstrap of it; None where there is none.
    doubts: known failures that were found.
    floor: interval of the loss at infinite scale by its profile; None where there is none.
    held: how well a fit to the smaller runs predicts the larger ones; None where these are too few.
    left_out: how well a fit to other sizes predicts each size.
  """

  fit: Fit
  samples: Bootstrap | None
  doubts: list[Doubt]
  floor: tuple[float, float] | None
  held: Holdout | None
  left_out: list[Holdout]


def analyse(
  law: Law,
  points: Points,
  criterion: Criterion,
  options: Options = Options(),
  held: Points | None = None,
) -> Analysis:
  """Fits a law and asks all of it.

  Args:
    law: law to fit.
    points: points to fit it to.
    criterion: what is made small.
    options: what is told.
    held: points to predict, where a table says which; None to hold out the larger ones.

  Raises:
    InputError: if the points cannot determine the law.
  """
  found = fit(law, points, criterion, options.starts, options.seed)
  samples = None
  if options.samples:
    samples = bootstrap(found, options.samples, options.level, options.seed)
  floor = profile_interval(found, law.floor, options.level) if law.floor else None
  if held is not None:
    tested: Holdout | None = Holdout(found, held)
  else:
    tested = _hold_out(law, points, criterion, options)
  left_out = leave_one_size_out(law, points, criterion, _group_role(points), options.starts)
  return Analysis(found, samples, find_doubts(found), floor, tested, left_out)


def analyse_at(
  law: Law, points: Points, criterion: Criterion, parameters: Mapping[str, float]
) -> Analysis:
  """Asks what can be asked of parameters that were published.

  Raises:
    InputError: if a parameter is missing, unknown or out of its range.
  """
  check_enough(law, points)
  if set(parameters) != set(law.parameters):
    raise InputError(
      f"`at` must give the parameters of {law.name}: expected {', '.join(law.parameters)}, got "
      f"{', '.join(parameters)}."
    )
  for name, value in parameters.items():
    if not np.isfinite(value):
      raise InputError(f"`at` must give numbers: got {value:g} for {name}.")
  for name in law.positive:
    if not parameters[name] > 0:
      raise InputError(f"`at` must give a positive {name}: got {parameters[name]:g}.")
  theta = np.array([parameters[name] for name in law.parameters], np.float64)
  found = evaluate_at(law, points, criterion, theta)
  return Analysis(found, None, find_doubts(found), None, None, [])


def analyse_released(law: Law, points: Points, held: Points | None = None) -> Analysis:
  """Fits M2 or M4 as its authors did; see `released`.

  Raises:
    InputError: if the law is another.
  """
  check_enough(law, points)
  theta = fit_as_released(law.name, points.values["scale"], points.losses)
  found = evaluate_at(law, points, LOG_SQUARES, theta)
  tested = None if held is None else Holdout(found, held)
  return Analysis(found, None, find_released_doubts(found), None, tested, [])


class Budgets(NamedTuple):
  """`Budgets` are the best splits of some amounts of compute, with their intervals.

  Attributes:
    compute: budgets in FLOPs, [m].
    best: best split by the fit, [1, m].
    size: interval of the size, [2, m]; None without a bootstrap, as the next two.
    data: interval of the data, [2, m].
    loss: interval of the loss of the law, [2, m].
  """

  compute: np.ndarray
  best: Optimum
  size: np.ndarray | None = None
  data: np.ndarray | None = None
  loss: np.ndarray | None = None


def split_budgets(analysis: Analysis, cost: Cost, compute: np.ndarray) -> Budgets:
  """Splits budgets between the size of the model and its data.

  Args:
    analysis: analysis of a law of size and data.
    cost: FLOPs of training on one example, by the size.
    compute: budgets in FLOPs, [m].

  Raises:
    InputError: if the law is not one of size and data.
  """
  found = analysis.fit
  size = found.points.values.get("size", np.ones(1))
  sizes = considered_sizes(float(size.min()), float(size.max()))
  best = best_split(found.law, found.theta[None], cost, compute, sizes)
  if analysis.samples is None:
    return Budgets(compute, best)
  spread = best_split(found.law, analysis.samples.theta, cost, compute, sizes)
  bands = [
    analysis.samples.interval(numbers, of_fit[0])
    for numbers, of_fit in zip(spread, best, strict=True)
  ]
  return Budgets(compute, best, *bands)


def considered_sizes(smallest: float, largest: float) -> tuple[float, float]:
  """Gives the ends of the sizes among which the best one is sought, by those that were trained."""
  return smallest * _SMALLEST, largest * _LARGEST


def _group_role(points: Points) -> str:
  return "size" if "size" in points.values else "scale"


def _hold_out(law: Law, points: Points, criterion: Criterion, options: Options) -> Holdout | None:
  role = "compute" if "compute" in points.values else "scale"
  try:
    return hold_out_larger(law, points, criterion, role, options.holdout, options.starts)
  except InputError:
    if options.holdout is not None:
      raise
    return None
