"""Conditions on rows: `arm=wide`, `flops<1e18`."""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from hornet_jax.errors import InputError


class Condition(NamedTuple):
  """A `Condition` compares the cell of a column with a text, or with a number.

  Attributes:
    column: name of the column.
    sign: `"="`, `"<"` or `">"`.
    text: text that the cell is to equal, or the number that it is to be below or above.
  """

  column: str
  sign: str
  text: str

  def holds(self, row: Mapping[str, str]) -> bool:
    """Tells whether a row fulfils it; a cell without a number is neither below nor above."""
    cell = row[self.column]
    if self.sign == "=":
      return cell == self.text
    try:
      value = float(cell)
    except ValueError:
      value = math.nan
    return value < float(self.text) if self.sign == "<" else value > float(self.text)

  def __str__(self) -> str:
    return f"{self.column}{self.sign}{self.text}"


def parse_condition(text: str) -> Condition:
  """Reads a condition.

  Raises:
    InputError: if it is none, or compares with what is no number.
  """
  found = re.fullmatch(r"([^=<>]+)([=<>])(.*)", text)
  if not found:
    raise InputError(f"a condition must be such as arm=wide or flops<1e18: got {text!r}.")
  condition = Condition(found[1].strip(), found[2], found[3].strip())
  if condition.sign != "=":
    try:
      float(condition.text)
    except ValueError as error:
      raise InputError(f"{text!r} must compare with a number: got {condition.text!r}.") from error
  return condition
