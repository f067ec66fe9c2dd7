"""This module keeps Orbax's tracebacks off the terminal: the error itself arrives as one line."""

import logging
import sys


def silence_orbax() -> None:
  """Drops what Orbax's threads and coroutines print of a failed save or restore.

  It is meant for commands alone, as it changes settings of the whole interpreter.
  """
  logging.getLogger("absl").addFilter(lambda record: "orbax" not in record.pathname)
  logging.getLogger("asyncio").addFilter(
    lambda record: "exception was never retrieved" not in str(record.msg)
  )
  report_unraisable, report_error = sys.unraisablehook, sys.excepthook

  def report_other_unraisable(unraisable) -> None:
    origin = _origin(unraisable.exc_traceback) + repr(unraisable.object)
    if "orbax" not in origin and not _is_late(unraisable.exc_value):
      report_unraisable(unraisable)

  def report_other_error(kind, error, traceback) -> None:
    if not _is_late(error):
      report_error(kind, error, traceback)

  sys.unraisablehook, sys.excepthook = report_other_unraisable, report_other_error


def _is_late(error: BaseException | None) -> bool:
  """Tells whether a thread of TensorStore answers an event loop that Orbax has given up."""
  return isinstance(error, RuntimeError) and str(error) == "Event loop is closed"


def _origin(traceback) -> str:
  """Finds the file in which an error was raised first."""
  while traceback is not None and traceback.tb_next is not None:
    traceback = traceback.tb_next
  return traceback.tb_frame.f_code.co_filename if traceback else ""
