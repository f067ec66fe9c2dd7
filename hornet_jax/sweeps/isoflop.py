"""Points of equal compute: of each budget, sizes around the one that is thought best."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hornet_jax.errors import InputError
from hornet_jax.studies.family import MULTIPLE
from hornet_jax.sweeps.points import Point, grid
from hornet_jax.sweeps.size_rules import ByWidth

_MAX_WIDTH = 4096


def isoflop(
  arm: str,
  rule: ByWidth,
  budgets: Sequence[float],
  best: Callable[[float], float],
  *,
  count: int = 5,
  spread: float = 4.0,
  **axes: Sequence[Any],
) -> list[Point]:
  """Gives points that spend each budget on several widths, evenly on a logarithmic scale.

  Source: the second approach of arXiv 2203.15556; centred, as arXiv 2603.22339 shows that parabolas
  off the optimum are biased.

  Args:
    arm: name of the arm.
    rule: rule of the arm.
    budgets: FLOPs of a whole training.
    best: function from a budget to the number of parameters, without the head, that is thought best
      for it: from an earlier fit, or a guess.
    count: number of widths for each budget; fewer where widths fall together.
    spread: factor in parameters from the best to the smallest and to the largest.
    **axes: further axes, such as `seed`.

  Raises:
    InputError: if there is no width of that many parameters.
  """
  sizes = dict(_sizes(rule, spread * max(best(budget) for budget in budgets)))
  points: list[Point] = []
  for budget in budgets:
    exponents = [2 * i / (count - 1) - 1 for i in range(count)] if count > 1 else [0.0]
    wanted = [best(budget) * spread**exponent for exponent in exponents]
    widths = sorted({_nearest(sizes, params) for params in wanted})
    points += grid(arm=[arm], size=widths, flops=[budget], **axes)
  return points


def _sizes(rule: ByWidth, enough: float) -> Iterator[tuple[int, int]]:
  """Yields possible widths with their parameters, up to the first that has enough."""
  for width in itertools.takewhile(lambda w: w <= _MAX_WIDTH, itertools.count(MULTIPLE, MULTIPLE)):
    try:
      params = rule.params_of(width)
    except InputError:  # orders or heads do not allow it
      continue
    yield width, params
    if params >= enough:
      return


def _nearest(sizes: Mapping[int, int], params: float) -> int:
  width = min(sizes, key=lambda candidate: abs(math.log(sizes[candidate] / params)))
  if not 0.5 < sizes[width] / params < 2.0:
    raise InputError(
      f"`best` must be sizes that there are: expected {min(sizes.values()):,} to "
      f"{max(sizes.values()):,} parameters, got {params:,.0f}."
    )
  return width
