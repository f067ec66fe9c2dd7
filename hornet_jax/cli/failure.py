"""This module tells a person of an error, and gives the exit status of the command."""

import os
import signal
import sys
import traceback

from hornet_jax.errors import InputError
from hornet_jax.exit_status import describe, exit_status
from hornet_jax.extras import missing_extra


def report(error: BaseException) -> int:
  """Prints an expected error as one line on stderr; returns the exit status."""
  text = describe(error)
  told = text if isinstance(error, KeyboardInterrupt) else f"error: {text}"
  sys.stderr.write(f"hornet: {told}\n")  # at once: others write to it, too
  return exit_status(error)


def tell(text: str) -> None:
  """Prints the last words of a run; an output that cannot be written is no failure of the run."""
  try:
    print(text, flush=True)
  except OSError:
    _forget_stdout()


def quiet_pipe() -> int:
  """Ends a command whose output nobody reads any more, as with `| head`; returns its status."""
  _forget_stdout()
  return 128 + signal.SIGPIPE


def _forget_stdout() -> None:
  """Replaces stdout: else the interpreter would fail at it once more when it ends."""
  os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def explained(error: BaseException) -> BaseException:
  """Turns what a library says of a machine into an error that a person can act on.

  It is about devices that JAX does not find, or a package that is not installed.
  """
  if isinstance(error, ImportError):
    return missing_extra(str(error)) or error
  frames = traceback.extract_tb(error.__traceback__)
  by_jax = bool(frames) and frames[-1].filename.endswith("xla_bridge.py")
  if isinstance(error, RuntimeError | AssertionError) and by_jax:
    platforms = os.environ.get("JAX_PLATFORMS", "")
    told = " ".join(str(error).split()) or "no such backend"
    if not platforms:
      return InputError(
        f"JAX cannot use the devices of this machine: {told}. Hint: see whether another process "
        "has them, and whether the jax that is installed is the one for them."
      )
    return InputError(
      f"JAX_PLATFORMS must name devices that are here: got {platforms!r}: {told}. Hint: unset it, "
      "or JAX_PLATFORMS=cpu."
    )
  return error
