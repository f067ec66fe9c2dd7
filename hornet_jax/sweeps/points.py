"""The points of a sweep: which values of its axes are tried together.

A point maps the name of an axis to a value; `Sweep` says which axes there are.
"""

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from hornet_jax.errors import InputError

Point = Mapping[str, Any]


def grid(**axes: Sequence[Any]) -> list[Point]:
  """Combines every value of each axis with every value of the others.

  Args:
    **axes: name of an axis -> its values, such as `size=(16, 24, 32)`.

  Raises:
    InputError: if an axis has no value.
  """
  _check(axes)
  return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def star(centre: Point, **axes: Sequence[Any]) -> list[Point]:
  """Changes one axis at a time; the centre itself comes first.

  Source: the star sweep of arXiv 2305.13035, section 3.

  Args:
    centre: values of all axes.
    **axes: name of an axis -> the values that it takes while the others stay at the centre.

  Raises:
    InputError: if an axis has no value, or the centre lacks an axis.
  """
  _check(axes)
  if missing := sorted(set(axes) - set(centre)):
    raise InputError(f"`centre` must have a value of every axis: missing {', '.join(missing)}.")
  points: list[Point] = [dict(centre)]
  for name, values in axes.items():
    points += [{**centre, name: value} for value in values if value != centre[name]]
  return points


def random_points(
  count: int,
  seed: int,
  ranges: Mapping[str, tuple[int | float, int | float]],
  **axes: Sequence[Any],
) -> list[Point]:
  """Draws points: the same ones for the same seed, and the first of many are those of few.

  Args:
    count: number of points.
    seed: seed of the draws.
    ranges: name of an axis -> smallest and largest value, which are positive; values between are
      drawn uniformly on a logarithmic scale, and are whole numbers where both ends are.
    **axes: name of an axis -> values that one is drawn of.

  Raises:
    InputError: if an axis has no value, or a range is none.
  """
  _check(axes)
  for name, (low, high) in ranges.items():
    if not 0 < low < high:
      raise InputError(
        f"the range of `{name}` must go from a positive number to a larger one: got {low:g} to "
        f"{high:g}."
      )
  draws = random.Random(seed)
  return [
    {
      **{name: draws.choice(list(values)) for name, values in axes.items()},
      **{name: _between(draws, low, high) for name, (low, high) in ranges.items()},
    }
    for _ in range(count)
  ]


def _between(draws: random.Random, low: int | float, high: int | float) -> int | float:
  value = math.exp(draws.uniform(math.log(low), math.log(high)))
  if isinstance(low, int) and isinstance(high, int):
    return round(value)
  return float(f"{value:.4g}")  # as it is printed, so that nothing is lost


def _check(axes: Mapping[str, Sequence[Any]]) -> None:
  for name, values in axes.items():
    if isinstance(values, str) or not values:
      raise InputError(f"the axis `{name}` must be a sequence of values: got {values!r}.")
