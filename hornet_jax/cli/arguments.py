"""Types of arguments."""

import argparse


def positive_int(text: str) -> int:
  """A whole number of at least 1."""
  if not text.isdecimal() or int(text) < 1:
    raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
  return int(text)
