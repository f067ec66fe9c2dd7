"""A key of the config says what it means and which values it may have."""

import dataclasses
import functools
import math
from typing import Any

from hornet_jax.errors import InputError, unknown_name


@dataclasses.dataclass(frozen=True)
class Range:
  """A range bounds a finite number; a bound that is None does not.

  Attributes:
    above: exclusive lower bound.
    at_least: inclusive lower bound.
    below: exclusive upper bound.
    at_most: inclusive upper bound.
  """

  above: float | None = None
  at_least: float | None = None
  below: float | None = None
  at_most: float | None = None

  def __contains__(self, number: int | float) -> bool:
    """Tells whether a number is finite and keeps every bound."""
    return (
      math.isfinite(number)
      and (self.above is None or number > self.above)
      and (self.at_least is None or number >= self.at_least)
      and (self.below is None or number < self.below)
      and (self.at_most is None or number <= self.at_most)
    )

  def __str__(self) -> str:
    """Writes the bounds as a person would: `>= 0 and < 1`."""
    signs = {">": self.above, ">=": self.at_least, "<": self.below, "<=": self.at_most}
    bounds = [f"{sign} {bound:g}" for sign, bound in signs.items() if bound is not None]
    return " and ".join(bounds)


POSITIVE = Range(above=0.0)
NOT_NEGATIVE = Range(at_least=0.0)
AT_LEAST_ONE = Range(at_least=1.0)
FRACTION = Range(at_least=0.0, below=1.0)
PROBABILITY = Range(at_least=0.0, at_most=1.0)
SHARE = Range(above=0.0, at_most=1.0)

FIT, FIT_TEXT = -1, "fit"
"""The values of keys, numbers and texts, that are fitted to the dataset when a run starts; see
`config.fit`. A tuple that is to be fitted is empty."""

ALWAYS_THERE = object()
"""The mark of keys that the first version had: a config without one is damaged."""


@dataclasses.dataclass(frozen=True)
class Key:
  """A key is one setting of a run; `SCHEMA` has them all.

  Attributes:
    default: value in the base config; its type is that of every value.
    description: one sentence on the meaning, with the unit.
    range: bounds of a number, or of each number of a tuple, which has the length of the default;
      any length where that is empty.
    per: name of the key that says instead how many numbers the tuple has; empty for the default's.
    any_length: whether the tuple may have any length.
    choices: names that may be given; empty for any.
    may_change: whether a run may go on with another value: none that touches its numbers.
    official: whether the official training record has a value for it.
    fits: whether `FIT`, `FIT_TEXT` or an empty tuple may stand for a value that suits the dataset.
    evaluation: whether a trained model needs it to look at images, so that files of weights
      carry it.
    of_test: whether it says only how a trained model is tested: `evaluate` and `predict` take
      another value.
    before: what runs did before there was the key, for configs of earlier versions; a key that is
      added now must say it.
    later: whether the key came when there were trials: with the value `before` it is no part of
      their names, which are to stay.
  """

  default: Any
  description: str
  range: Range | None = None
  per: str = ""
  any_length: bool = False
  choices: tuple[str, ...] = ()
  may_change: bool = False
  official: bool = True
  fits: bool = False
  evaluation: bool = False
  of_test: bool = False
  before: Any = ALWAYS_THERE
  later: bool = False

  @property
  def allowed(self) -> str:
    """Says in words which values there are; empty where any of the type is allowed."""
    if self.choices:
      return f"one of {', '.join(self.choices)}"
    if self.range is None:
      return f"or {FIT_TEXT!r} to suit the dataset" if self.fits else ""
    if not isinstance(self.default, tuple):
      fitted = f", or {FIT} to suit the dataset" if self.fits else ""
      return f"{self.range}{fitted}"
    count = f"{self.per or ('' if self.any_length else len(self.default)) or ''} numbers".strip()
    fitted = ", or () to suit the dataset" if self.fits else ""
    return f"{count} {self.range}".strip() + fitted

  def check(self, name: str, value: Any) -> None:
    """Raises `InputError` for a value that the key must not have.

    Args:
      name: dotted name of the key.
      value: given value; tuples may be lists, and whole numbers stand for floats.
    """
    if not _has_type_of(self.default, value):
      kind = type(self.default).__name__
      raise InputError(f"`{name}` must be of type {kind}: got {value!r}.")
    if self.choices and value not in self.choices:
      raise unknown_name(f"`{name}`", value, self.choices)
    if self.range is None or self.is_to_fit(value):
      return
    is_tuple = isinstance(self.default, tuple)
    numbers = value if is_tuple else [value]
    is_free = bool(self.per) or self.any_length or not is_tuple or not self.default
    has_length = is_free or len(value) == len(self.default)
    if not has_length or not all(number in self.range for number in numbers):
      raise InputError(f"`{name}` must be {self.allowed}: got {value}.")

  def is_to_fit(self, value: Any) -> bool:
    """Tells whether a value stands for one that suits the dataset."""
    if isinstance(self.default, tuple):
      return self.fits and not value
    return self.fits and value == (FIT_TEXT if isinstance(self.default, str) else FIT)


# How a run is operated touches none of its numbers, and the official record is silent about it.
operation = functools.partial(Key, may_change=True, official=False)
# What the official record, which is closed, does not know of, and trials did not.
later = functools.partial(Key, official=False, later=True)
# How a trained model is tested, of which training knows nothing.
of_test = functools.partial(later, may_change=True, of_test=True)


def _has_type_of(default: Any, value: Any) -> bool:
  """Tells whether JSON or a config file may give the value where the default stands."""
  if isinstance(default, tuple):
    if not isinstance(value, list | tuple):
      return False
    return not default or all(_has_type_of(default[0], item) for item in value)
  if isinstance(default, bool) or isinstance(value, bool):
    return isinstance(default, bool) and isinstance(value, bool)
  return isinstance(value, int | float if isinstance(default, float) else type(default))
