"""Which law extrapolates best: each is fitted to many tasks, and predicts what it has not seen."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hornet_jax.laws.criterion import LOG_SQUARES, Criterion
from hornet_jax.laws.fitting import STARTS, evaluate_at, fit, is_enough
from hornet_jax.laws.holdout import Holdout
from hornet_jax.laws.law import Law
from hornet_jax.laws.points import Points
from hornet_jax.laws.released import check_released, fit_as_released

_DECIMALS = 3  # of errors that are compared
_NO_NUMBER = 1.0  # error of a law that predicts none

Contender = Callable[[Points, Points], Holdout | None]
"""Fits a law to points and holds others against it; None where the points are too few for it."""


class Task(NamedTuple):
  """A `Task` is a curve, or another set of runs, of which a part is to be predicted.

  Attributes:
    name: name of it, as a person has it.
    seen: points to fit to.
    held: points to predict.
  """

  name: str
  seen: Points
  held: Points


class Comparison(NamedTuple):
  """A `Comparison` says how well each of some laws predicted each of some tasks.

  Attributes:
    laws: names of the m laws.
    tasks: names of the t tasks.
    errors: root mean squares of log(predicted / measured), [t, m]; NaN where a law predicts none.
    deviations: standard errors of them, [t, m]; NaN for a single point.
  """

  laws: tuple[str, ...]
  tasks: tuple[str, ...]
  errors: np.ndarray
  deviations: np.ndarray

  def wins(self) -> np.ndarray:
    """Counts the tasks that each law predicts best, [m]; see `count_wins`."""
    return count_wins(self.errors)


def fitted(law: Law, criterion: Criterion, starts: int = STARTS) -> Contender:
  """Makes a contender of a law.

  Args:
    law: law to fit.
    criterion: what is made small.
    starts: number of searches.
  """

  def hold_out(seen: Points, held: Points) -> Holdout | None:
    if not is_enough(law, seen):
      return None
    return Holdout(fit(law, seen, criterion, starts), held)

  return hold_out


def released(law: Law) -> Contender:
  """Makes a contender of M2 or M4 as their authors fitted them; see `fit_as_released`.

  Raises:
    InputError: if the law is another.
  """
  check_released(law.name)

  def hold_out(seen: Points, held: Points) -> Holdout | None:
    if not is_enough(law, seen):
      return None
    theta = fit_as_released(law.name, seen.values["scale"], seen.losses)
    return Holdout(evaluate_at(law, seen, LOG_SQUARES, theta), held)

  return hold_out


def compare(
  tasks: Sequence[Task],
  contenders: Mapping[str, Contender],
  tell: Callable[[str], None] = lambda _: None,
) -> Comparison:
  """Fits each law to each task, and predicts what is held out.

  Args:
    tasks: tasks to predict.
    contenders: name -> law.
    tell: function that is told the name of each task before it is begun.
  """
  found = []
  for task in tasks:
    tell(task.name)
    found.append([_error(contend(task.seen, task.held)) for contend in contenders.values()])
  errors, deviations = np.moveaxis(np.array(found), -1, 0)
  return Comparison(tuple(contenders), tuple(task.name for task in tasks), errors, deviations)


def count_wins(errors: np.ndarray) -> np.ndarray:
  """Counts the tasks that each law predicts with the smallest error.

  Errors are cut off after three decimals, so that laws whose errors differ by less share a task in
  equal parts; a law without a number has the error 1.

  Source: the rule by which arXiv 2210.14891 compares laws on the benchmark of arXiv 2209.06640.

  Args:
    errors: errors [t, m] of m laws in t tasks.

  Returns:
    Number of tasks for each law, [m], which add up to t.
  """
  known = np.where(np.isfinite(errors), errors, _NO_NUMBER)
  cut = np.floor((known * 10**_DECIMALS).round(9))  # 1.001 is 1.001, not a little less
  is_best = cut == cut.min(axis=1, keepdims=True)
  return (is_best / is_best.sum(axis=1, keepdims=True)).sum(axis=0)


def _error(held: Holdout | None) -> tuple[float, float]:
  """Gives the root mean square of the errors of logarithms, and its standard error.

  The latter is that of the mean square, as the benchmark has it: how far the root grows with one
  standard error more.
  """
  if held is None:
    return np.nan, np.nan
  with np.errstate(all="ignore"):  # a law may predict what has no logarithm
    squares = held.log_errors**2
    mean = squares.mean()
    more = squares.std() / np.sqrt(len(squares)) if len(squares) > 1 else np.nan
    return float(np.sqrt(mean)), float(np.sqrt(mean + more) - np.sqrt(mean))
