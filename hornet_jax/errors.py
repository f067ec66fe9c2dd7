"""The errors that a person can mend: what was expected, what came, what to do."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
  """Bad input from outside: a name, a value, a file, a setting.

  The command line prints its message as one line and exits with status 2; any
  other exception is a defect of this package and keeps its traceback.
  """


def unknown_name(kind: str, name: str, choices: Iterable[str]) -> InputError:
  """An `InputError` that lists the known names and the nearest of them.

  Args:
    kind: what the name stands for, such as `"variant"`.
    name: the name that is not among `choices`.
    choices: every name that would have been accepted.
  """
  choices = sorted(choices)
  nearest = difflib.get_close_matches(name, choices, n=1)
  hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
  return InputError(f"unknown {kind} {name!r}: expected one of {', '.join(choices)}.{hint}")


class DivergedError(ArithmeticError):
  """Training met a loss, a gradient or parameters that are not finite.

  Attributes:
    step: at which it was given up.
  """

  def __init__(self, message: str, step: int):
    super().__init__(message)
    self.step = step


class StalledError(TimeoutError):
  """Training waited too long for its input."""


class StorageError(OSError):
  """What had to be kept could not be written.

  The command line prints its message as one line and exits with status 1.
  """


class FullDiskError(StorageError):
  """There was no space left, or a quota was used up."""
