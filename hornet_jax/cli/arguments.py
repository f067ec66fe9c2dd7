"""Types of arguments, and all of them as they were given."""

import argparse
import shlex
import sys


def positive_int(text: str) -> int:
  """A whole number of at least 1."""
  if not text.isdecimal() or int(text) < 1:
    raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
  return int(text)


def command_line() -> str:
  """The command that started this process, to be pasted into a shell."""
  return shlex.join(["python", "-m", "hornet_jax", *sys.argv[1:]])
