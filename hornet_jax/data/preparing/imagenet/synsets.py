"""This module knows WordNet's synsets by their ids, such as n01440764."""

import pathlib
import re

from hornet_jax.errors import InputError


def is_synset(text: str) -> bool:
  """Returns whether a text is the id of a noun."""
  return re.fullmatch(r"n\d{8}", text, re.ASCII) is not None


def read_class_list(path: pathlib.Path) -> list[str]:
  """Reads the synsets in a text file, one a line, and sorts them.

  Raises:
    InputError: if the file cannot be read or a line is not a synset.
  """
  try:
    lines = path.read_text().split()
  except (OSError, ValueError) as error:
    raise InputError(f"`classes` must be a text file of synsets: {error}.") from error
  wrong = [line for line in lines if not is_synset(line)]
  if wrong or not lines or len(set(lines)) < len(lines):
    raise InputError(
      "`classes` must name different synsets, one a line: expected such as n01440764, got "
      f"{wrong[0] if wrong else 'none or some twice'} in {path}."
    )
  return sorted(lines)
