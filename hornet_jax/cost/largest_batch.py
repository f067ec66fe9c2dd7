"""This module finds the largest batch that fits into a chip's memory, by compiling some."""

import dataclasses
from collections.abc import Callable

from hornet_jax.cost.plan import Plan

_GRAIN = 8  # images a chip: a batch is a multiple of it, where it is not smaller


@dataclasses.dataclass(frozen=True)
class Largest:
  """The end of a search: both plans are compiled.

  Attributes:
    fitting: the plan with the most images that was found to fit; None where none was.
    exceeding: the plan with the fewest images above it that was found not to fit; None where no
      such was compiled.
    is_next: whether no size of batch lies between the two.
  """

  fitting: Plan | None
  exceeding: Plan | None
  is_next: bool


def largest_batch(plan: Plan, plan_of: Callable[[int], Plan], tries: int = 8) -> Largest:
  """Searches two neighbouring sizes of a batch of which one fits and the next larger does not.

  Memory grows nearly in a line: each try goes where the line through the last two points meets
  the chip's memory. As it does so only nearly, nothing counts as fitting, or as not, that was not
  compiled; beyond the next larger size one may fit again.

  Args:
    plan: compiled plan to start from, of any number of images.
    plan_of: function that makes the compiled plan of another number of images a chip.
    tries: number of programs that are compiled at most.
  """
  fitting, exceeding = (plan, None) if plan.fits else (None, plan)
  smallest = 2 * plan.scenario.topology.chip.devices  # images are mixed in pairs on a device
  last, guess = plan, _rounded(plan.proportional_batch or 1)
  for _ in range(tries):
    least = _next(fitting.scenario.images) if fitting else smallest
    most = _previous(exceeding.scenario.images) if exceeding else None
    if most is not None and least > most:
      break
    guess = max(guess, least) if most is None else min(max(guess, least), most)
    tried = plan_of(guess)
    if tried.fits:
      fitting = tried
    else:
      exceeding = tried
    assert tried.peak is not None
    assert last.peak is not None
    slope = (tried.peak - last.peak) / (guess - last.scenario.images)
    last = tried
    room = int(guess + (tried.limit - tried.peak) / slope) if slope > 0 else guess // 2
    guess = _rounded(max(room, 1))
  least = _next(fitting.scenario.images) if fitting else smallest
  is_next = exceeding is not None and least > _previous(exceeding.scenario.images)
  return Largest(fitting, exceeding, is_next)


def _rounded(images: int) -> int:
  """Returns the size of a batch that is at most `images`: a multiple of 8, of 2 below, or 1."""
  return images // _GRAIN * _GRAIN if images >= _GRAIN else max(images // 2 * 2, 1)


def _next(images: int) -> int:
  """Returns the smallest size of a batch above `images`."""
  return next(n for n in range(images + 1, images + _GRAIN + 1) if _rounded(n) == n)


def _previous(images: int) -> int:
  """Returns the largest size of a batch below `images`; 0 where there is none."""
  return _rounded(images - 1) if images > 1 else 0
