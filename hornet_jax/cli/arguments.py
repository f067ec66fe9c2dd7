"""This module parses types of arguments, and repeats the command line as it was given."""

import argparse
import pathlib
import shlex
import sys
from typing import NoReturn

from hornet_jax.errors import InputError


class Parser(argparse.ArgumentParser):
  """A `Parser` refuses arguments by an `InputError`, one line, as everything else that is wrong.

  The parsers of commands and of their parts are made by the same class.
  """

  def error(self, message: str) -> NoReturn:
    """Raises the error, without the flags of the command."""
    raise InputError(f"{message}. Hint: {self.prog} --help")


def positive_int(text: str) -> int:
  """Reads a whole number of at least 1."""
  if not text.isdecimal() or int(text) < 1:
    raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
  return int(text)


def command_line() -> str:
  """Returns the command that started this process, to be pasted into a shell."""
  is_script = pathlib.Path(sys.argv[0]).name == "hornet"
  start = ["hornet"] if is_script else ["python", "-m", "hornet_jax"]
  return shlex.join([*start, *sys.argv[1:]])
