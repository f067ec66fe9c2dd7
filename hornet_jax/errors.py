"""This module defines the errors that a person or a launcher can act on."""

import difflib
from collections.abc import Iterable, Sequence

_MAX_LISTED = 40  # names in a message
_SOME = 8  # of more than that


class InputError(ValueError):
  """An `InputError` refuses bad input from outside: a name, a value, a file, a setting.

  Its message says what was expected, what came and what to do; a person must act before the
  same command can succeed. `exit_status` tells how a command ends by each error.
  """


def unknown_name(kind: str, name: str, choices: Iterable[str]) -> InputError:
  """Returns an `InputError` that names the nearest known names, then all, or some of very many.

  Args:
    kind: kind of thing that is named, such as `"variant"`.
    name: name that is not among `choices`.
    choices: names that would have been accepted.
  """
  choices = sorted(choices)
  nearest = difflib.get_close_matches(name, choices)
  hint = f" did you mean {' or '.join(map(repr, nearest))}?" if nearest else ""
  if len(choices) <= _MAX_LISTED:
    return InputError(f"unknown {kind} {name!r}:{hint} expected one of {', '.join(choices)}.")
  some = difflib.get_close_matches(name, choices, n=_SOME, cutoff=0.0)
  return InputError(
    f"unknown {kind} {name!r}:{hint} expected one of {len(choices)} names, such as "
    f"{', '.join(some)}."
  )


DIVERGED = "must give finite numbers"
"""What the message of every `DivergedError` says, by which a result tells it from other ends."""


class MismatchError(InputError):
  """A `MismatchError` says that a checkpoint does not hold the model that it should.

  Attributes:
    problems: lines on every array that is missing, left over or of another shape; the message has
      the first few.
  """

  def __init__(self, message: str, problems: Sequence[str]):
    """Keeps all problems beside the message, which has no room for them."""
    super().__init__(message)
    self.problems = problems


class DivergedError(ArithmeticError):
  """A `DivergedError` says that loss, gradients or parameters were not finite in training.

  Attributes:
    step: step at which training was given up.
  """

  def __init__(self, message: str, step: int):
    super().__init__(message)
    self.step = step


class StalledError(TimeoutError):
  """A `StalledError` says that training waited too long for its input."""


class StoppedError(Exception):
  """A `StoppedError` says that work was given up because it was asked to stop; it is saved."""


class LostPeerError(ConnectionError):
  """A `LostPeerError` says that another process of the run is gone, or did not come."""


class StorageError(OSError):
  """A `StorageError` says that a disk or a store failed for a while; a new start may succeed."""


class FullDiskError(StorageError):
  """A `FullDiskError` says that no space or quota was left; a person must make room."""
