"""This module maps the cause of a command's end to an exit status, for launchers to act on."""

from hornet_jax.errors import (
  DivergedError,
  FullDiskError,
  InputError,
  LostPeerError,
  StalledError,
  StoppedError,
  StorageError,
)

COMPLETE = 0
"""All is done; there is nothing left to start again."""
BUG = 1
"""A defect of this package: a traceback was printed, and the same would fail again."""
PERSON = 2
"""A person must act first: a setting, a file or a full disk. One line says what to do."""
AGAIN = 75
"""The same command goes on: a stop by SIGTERM that was saved, a lost process, input that
stalled, storage that failed for a while. It is EX_TEMPFAIL of sysexits.h."""
INTERRUPTED = 130
"""A person pressed Ctrl-C, and a launcher leaves it at that: a run that was training has saved."""

# The first row that matches counts.
_OF_ERRORS: tuple[tuple[type[BaseException], int], ...] = (
  (KeyboardInterrupt, INTERRUPTED),
  (FullDiskError, PERSON),
  (InputError, PERSON),
  (DivergedError, PERSON),
  (StorageError, AGAIN),
  (StalledError, AGAIN),
  (StoppedError, AGAIN),
  (LostPeerError, AGAIN),
)


def exit_status(error: BaseException) -> int:
  """Returns the status with which a command ends by an error; `BUG` for an unexpected one."""
  return next((status for kind, status in _OF_ERRORS if isinstance(error, kind)), BUG)


def is_expected(error: BaseException) -> bool:
  """Returns whether one line tells all of an error; others are defects and keep a traceback."""
  return exit_status(error) != BUG


def describe(error: BaseException) -> str:
  """Describes an error in one line, for a person and for `result.json`."""
  if isinstance(error, KeyboardInterrupt):
    return "interrupted"
  return str(error) if is_expected(error) else f"{type(error).__name__}: {error}"
