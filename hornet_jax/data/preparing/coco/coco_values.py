"""What values in annotation files are, which anybody may have written by any program."""

import os
import reprlib
from typing import Any

_LARGEST_ID = 2**63 - 1
_LARGEST = 1e9  # pixels, or square pixels
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


class BrokenEntryError(Exception):
  """A `BrokenEntryError` says why an entry of an annotation file cannot be used."""


def whole(value: Any) -> int | None:
  """Returns a whole number of 64 bits, 3.0 being one too; None for anything else."""
  if isinstance(value, float) and value.is_integer():
    value = int(value)
  is_whole = isinstance(value, int) and not isinstance(value, bool)
  return value if is_whole and -_LARGEST_ID <= value <= _LARGEST_ID else None


def number(value: Any) -> float | None:
  """Returns a finite number of a size that pixels may have; None for anything else."""
  if isinstance(value, bool) or not isinstance(value, int | float):
    return None
  return float(value) if abs(value) <= _LARGEST else None  # which NaN is not


def numbers(value: Any) -> list[float] | None:
  """Returns a list of such numbers; None for anything else."""
  if not isinstance(value, list):
    return None
  found = [checked for item in value if (checked := number(item)) is not None]
  return found if len(found) == len(value) else None


def text(value: Any) -> str | None:
  """Returns a text that is not empty and can be written; None for anything else."""
  if not isinstance(value, str) or not value.strip():
    return None
  try:
    os.fsencode(value)
  except UnicodeEncodeError:  # half of a pair of UTF-16
    return None
  return value


def shown(value: Any) -> str:
  """Writes a value for a message, cut short."""
  return _SHORT.repr(value)
