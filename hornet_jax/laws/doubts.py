"""What speaks against trusting a fit; each known failure has a name."""

from typing import NamedTuple

import numpy as np

from hornet_jax.laws.fitting import Fit, fit_from
from hornet_jax.laws.profiles import span_within
from hornet_jax.laws.released import released_sum, released_sum_at_corner

EARLY_STOP, BOUNDARY, CORNER, VALLEY = "early stop", "boundary", "degenerate corner", "flat valley"
RISING, REPEATED = "rising", "repeated rows"
_LOWER = 1e-3  # share by which a further search must not lower the sum
_NO_EFFECT = 1e-5  # relative change of a loss by a relative change of a parameter
_SMALL = 1e-3  # parameter without an effect, over the loss, that is at its bound
_NO_EXPONENT = 1e-2
_ALONE = 1e-3  # effect of an exponent on other runs, over that on the smallest
_FURTHER = 2.0  # factor beyond the points at which a law must not have risen
_RISEN = 1e-4  # relative
_LEVEL = 1e-3  # above the smallest sum, over it: what fits as well
_NEARLY = 1e-2  # likewise, for minima of their own
_APART = 6  # decimals of the logarithms of sums of different minima
_MINIMA = 3
_WIDE = 0.1  # span of an exponent over its value


class Doubt(NamedTuple):
  """A `Doubt` is a reason not to trust a fit.

  Attributes:
    name: one of the names of this module.
    text: what was found, as a sentence.
  """

  name: str
  text: str


def find_doubts(fit: Fit) -> list[Doubt]:
  """Looks for the known failures of fits, also of those at published parameters."""
  stop = _early_stop(fit)
  valley = None if stop else _flat_valley(fit)  # which only a minimum has
  found = [stop, *_without_effect(fit), *_odd_exponents(fit), *_rising(fit), valley]
  return [doubt for doubt in found if doubt]


def repeated_rows(count: int, rows: int) -> list[Doubt]:
  """Tells that a table has rows more than once, which the fit and its intervals take for runs.

  Args:
    count: number of rows that are there before.
    rows: number of all rows.
  """
  if not count:
    return []
  return [
    Doubt(
      REPEATED,
      f"{count} of {rows} rows are copies of others, cell by cell: they weigh more in the fit, and "
      "intervals take them for runs of their own.",
    )
  ]


def find_released_doubts(fit: Fit) -> list[Doubt]:
  """Tells where the sum of the released scheme is smaller at the corner than where it stopped."""
  (scale,) = fit.x
  of = (fit.law.name, fit.theta, scale, fit.points.losses)
  here, corner = released_sum(*of), released_sum_at_corner(*of)
  if corner >= here:
    return []
  return [
    Doubt(
      CORNER,
      f"the sum that the released scheme makes small is {here:.4g} where it stopped and "
      f"{corner:.4g} at e_inf = 0, where the law has no floor: its end is no minimum of it.",
    )
  ]


def _early_stop(fit: Fit) -> Doubt | None:
  """Goes on from the parameters: sums of 1e-3 and less make searches stop where they are."""
  further = fit_from(fit.law, fit.points, fit.criterion, fit.theta)
  if fit.objective <= further.objective * (1 + _LOWER):
    return None
  return Doubt(
    EARLY_STOP,
    f"the parameters are not at a minimum: a search from them lowers the sum from "
    f"{fit.objective:.6g} to {further.objective:.6g} (norm of the gradient over the sum "
    f"{fit.gradient:.2g}); they were rounded, or a search stopped early, as by an average in place "
    "of the sum.",
  )


def _without_effect(fit: Fit) -> list[Doubt]:
  law, x = fit.law, fit.x
  value, slopes = law.value_and_slopes(fit.theta, x)
  effects = np.abs(slopes * fit.theta / value[:, None]).max(axis=0)
  found = []
  for name, effect, at in zip(law.parameters, effects, fit.theta, strict=True):
    if name not in law.positive or name in law.exponents or effect > _NO_EFFECT:
      continue  # an exponent has no effect where its coefficient is 0, and is at no bound
    if name == law.floor and law.axes == ("scale",):
      found.append(
        Doubt(
          CORNER,
          f"{name} = {at:.3g} is at its bound of 0, where the law has no floor and is another one; "
          "the points do not show where the loss ends.",
        )
      )
    else:
      is_small = at < _SMALL * fit.points.losses.min()
      what = "is at its bound of 0" if is_small else "has no effect"
      found.append(Doubt(BOUNDARY, f"{name} = {at:.3g} {what}: no point depends on it."))
  return found


def _odd_exponents(fit: Fit) -> list[Doubt]:
  """Names exponents that are nearly 0, or so large that the smallest runs alone determine them."""
  value, slopes = fit.law.value_and_slopes(fit.theta, fit.x)
  effects = np.abs(slopes * fit.theta / value[:, None])
  found = []
  for name in fit.law.exponents:
    at, effect = fit.parameters[name], effects[:, fit.law.parameters.index(name)]
    if abs(at) < _NO_EXPONENT:
      found.append(
        Doubt(BOUNDARY, f"{name} = {at:.3g} is nearly 0: its term is one more constant.")
      )
    affected = effect > _ALONE * effect.max()
    alone = [np.ptp(axis) > 0 and (axis[affected] == axis.min()).all() for axis in fit.x]
    if effect.max() > _NO_EFFECT and any(alone):
      role = fit.law.axes[alone.index(True)]
      found.append(
        Doubt(
          BOUNDARY,
          f"{name} = {at:.3g} is so large that its term belongs to the runs of the smallest "
          f"{fit.points.names[role]} alone: the others do not depend on it.",
        )
      )
  return found


def _rising(fit: Fit) -> list[Doubt]:
  """Names the axes along which the law predicts larger losses beyond the points."""
  found = []
  for axis, role in enumerate(fit.law.axes):
    largest = fit.x.max(axis=1, keepdims=True)
    further = largest.copy()
    further[axis] *= _FURTHER
    here, there = float(fit.predict(largest)[0]), float(fit.predict(further)[0])
    if there > here * (1 + _RISEN):
      found.append(
        Doubt(
          RISING,
          f"with {_FURTHER:g} times the largest {fit.points.names[role]} the law predicts "
          f"{there:.4g}, more than {here:.4g}: it does not extrapolate along that axis.",
        )
      )
  return found


def _flat_valley(fit: Fit) -> Doubt | None:
  """Finds other exponents that fit as well: around the minimum, or at minima of their own."""
  spans = {name: span_within(fit, name, _LEVEL) for name in fit.law.exponents}
  wide = [name for name, (a, b) in spans.items() if b - a > _WIDE * abs(fit.parameters[name])]
  if wide:
    told = ", ".join(f"{name} from {a:.4g} to {b:.4g}" for name, (a, b) in spans.items())
    return Doubt(VALLEY, f"within {_LEVEL:.1%} of the smallest sum lie {told}.")
  ends, sums = (numbers[fit.near(_NEARLY)] for numbers in fit.ends[:2])
  minima = len(np.unique(np.log(sums[sums > 0]).round(_APART)))
  if minima < _MINIMA:
    return None
  columns = [(name, ends[:, fit.law.parameters.index(name)]) for name in fit.law.exponents]
  told = ", ".join(f"{name} from {a.min():.4g} to {a.max():.4g}" for name, a in columns)
  return Doubt(
    VALLEY, f"{minima} minima lie within {_NEARLY:.1%} of the smallest sum, with {told}."
  )
