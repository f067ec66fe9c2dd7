"""This module finds the largest batch that fits into a chip's memory, by compiling some."""

from collections.abc import Callable

from hornet_jax.cost.plan import Plan

_GRAIN = 8  # images a chip: a batch is a multiple of it, where it is not smaller


def largest_batch(plan: Plan, plan_of: Callable[[int], Plan], tries: int = 4) -> Plan | None:
  """Searches the plan with the most images a chip that fits.

  Memory grows nearly in a line: each try goes where the line through the last two points meets
  the chip's memory.

  Args:
    plan: compiled plan to start from, of any number of images.
    plan_of: function that makes the plan of another number of images a chip.
    tries: number of programs that are compiled at most.

  Returns:
    The best plan found, or None where none fits.
  """
  fitting = plan if plan.fits else None
  too_many = None if plan.fits else plan.scenario.images
  last, guess = plan, _rounded(plan.proportional_batch or 1)
  for _ in range(tries):
    if too_many is not None and guess >= too_many:
      guess = _rounded(too_many - 1)
    smallest = fitting.scenario.images if fitting else 0
    if guess <= smallest:
      break
    tried = plan_of(guess)
    if tried.fits:
      fitting = tried
    else:
      too_many = guess
    assert tried.peak is not None
    assert last.peak is not None
    slope = (tried.peak - last.peak) / (guess - last.scenario.images)
    last = tried
    guess = _rounded(int(guess + (tried.limit - tried.peak) / slope)) if slope > 0 else guess // 2
  return fitting


def _rounded(images: int) -> int:
  return images // _GRAIN * _GRAIN if images >= _GRAIN else max(images // 2 * 2, 1)
