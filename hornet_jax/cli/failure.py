"""How an error is told to a person, and with which exit status the command ends."""

import sys

from hornet_jax.errors import DivergedError, InputError, StalledError, StorageError

EXPECTED = (InputError, DivergedError, StalledError, StorageError, KeyboardInterrupt)
"""Errors that are told in one line; others are defects and keep their traceback."""


def describe(error: BaseException) -> str:
  """One line for a person."""
  if isinstance(error, KeyboardInterrupt):
    return "interrupted"
  return f"error: {error}" if isinstance(error, EXPECTED) else f"{type(error).__name__}: {error}"


def report(error: BaseException) -> int:
  """Prints the line; returns the exit status."""
  print(f"hornet: {describe(error)}", file=sys.stderr)
  if isinstance(error, KeyboardInterrupt):
    return 130
  return 2 if isinstance(error, InputError) else 1
