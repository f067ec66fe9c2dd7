"""Which class each number in the masks of a dataset is."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from hornet_jax.data.pixels.decode import UndecodableImageError
from hornet_jax.data.preparing.csv_rows import read_rows
from hornet_jax.data.preparing.masks.mask_files import code_text, colour_code
from hornet_jax.data.views.masks import IGNORED
from hornet_jax.errors import InputError
from hornet_jax.wording import counted

_NAMES = ("name", "class", "class_name", "label")
_VALUES = ("value", "id", "index")
_CHANNELS = (("r", "red"), ("g", "green"), ("b", "blue"))
_OF_IGNORED = ("ignored", "ignore")
_UNKNOWN = IGNORED + 1
_LARGEST = {False: 2**16 - 1, True: 2**24 - 1}  # code of a value, of a colour


@dataclasses.dataclass(frozen=True)
class ClassTable:
  """A `ClassTable` says which class each number in a mask is.

  Attributes:
    names: names of the classes, at most 255.
    classes: number in a mask (a value, or that of a colour by `colour_code`) -> its class, a
      position in `names`, or 255 where it counts for none.
    colours: whether the numbers are those of colours.
  """

  names: Sequence[str]
  classes: Mapping[int, int]
  colours: bool = False

  @functools.cached_property
  def _lookup(self) -> np.ndarray:
    lookup = np.full(_LARGEST[self.colours] + 1, _UNKNOWN, np.uint16)
    for code, label in self.classes.items():
      lookup[code] = label
    return lookup

  def look_up(self, codes: np.ndarray) -> np.ndarray:
    """Turns the numbers of a mask, int32 [H, W], into classes or 255, uint8 [H, W].

    Raises:
      UndecodableImageError: if a number is that of no class.
    """
    found = self._lookup[codes]
    foreign = codes[found == _UNKNOWN]
    if len(foreign):
      what = code_text(int(foreign[0]), colours=self.colours)
      where = counted(len(foreign), "pixel")
      raise UndecodableImageError(f"the mask has {what} at {where}, which is no class")
    return found.astype(np.uint8)

  def ignoring(self, values: Sequence[int]) -> "ClassTable":
    """Returns a table in which more values count for no class.

    Raises:
      InputError: if one of them is that of a class, or the table is one of colours.
    """
    if values and self.colours:
      raise InputError(
        f"`ignore` is for masks of values: got {values[0]} with a table of colours. Hint: a row "
        "with the name `ignored` and its r, g and b."
      )
    for value in values:
      if self.classes.get(value, IGNORED) != IGNORED:
        raise InputError(
          f"`ignore` must be values without a class: got {value}, which is "
          f"{self.names[self.classes[value]]!r}."
        )
    return dataclasses.replace(self, classes={**self.classes, **dict.fromkeys(values, IGNORED)})


def read_class_table(table: pathlib.Path) -> ClassTable:
  """Reads which class each value or colour is.

  The first row of the CSV file names the columns: `name` and either `value` or `r`, `g` and `b`.
  Classes have the order of their rows; rows of one name are one class; those with the name
  `ignored` count for none. Commas, semicolons and tabs separate.

  Args:
    table: path of the CSV file.

  Raises:
    InputError: if a column is missing, a row is incomplete or contradicts another, or there are
      no classes, or too many.
  """
  rows = read_rows(table, "classes", "class")
  header = list(rows[0])
  of_name, of_value = _column(header, _NAMES), _column(header, _VALUES)
  of_channels = [_column(header, names) for names in _CHANNELS]
  colours = None not in of_channels
  columns = of_channels if colours else [of_value]
  if of_name is None or None in columns or (colours and of_value is not None):
    raise InputError(
      f"`classes` must have the columns name and value, or name, r, g and b: {table} has "
      f"{', '.join(map(repr, header))}."
    )
  names: dict[str, int] = {}
  classes: dict[int, int] = {}
  for number, row in enumerate(rows, 2):
    where = f"{table}, line {number}"
    name = " ".join((row[of_name] or "").split())
    if not name:
      raise InputError(f"{where}: expected the name of a class, got none.")
    limit = 255 if colours else _LARGEST[False]
    numbers = [_number(where, row[column or ""], limit) for column in columns]
    code = colour_code(*numbers) if colours else numbers[0]
    label = IGNORED if name.lower() in _OF_IGNORED else names.setdefault(name, len(names))
    if classes.setdefault(code, label) != label:
      what = code_text(code, colours=colours)
      raise InputError(f"{where}: {what} must have one class: got {name!r} after another.")
  if not 0 < len(names) <= IGNORED:
    raise InputError(f"`classes` must name 1 to {IGNORED} classes: {table} names {len(names)}.")
  return ClassTable(list(names), classes, colours)


def table_of_values(values: Sequence[int]) -> ClassTable:
  """Makes a table in which each value is a class, named after itself.

  Args:
    values: values, sorted.

  Raises:
    InputError: if there are none, or more than classes can be told apart.
  """
  if not 0 < len(values) <= IGNORED:
    raise InputError(
      f"the masks must have 1 to {IGNORED} different values that count: got {len(values):,}. Hint: "
      "masks of instances and photographs have more; --classes=FILE.csv says which class each is."
    )
  return ClassTable([str(value) for value in values], {v: k for k, v in enumerate(values)})


def _column(header: Sequence[str], names: Sequence[str]) -> str | None:
  return next((name for name in header if (name or "").strip().lower() in names), None)


def _number(where: str, text: str | None, limit: int) -> int:
  text = (text or "").strip()
  if not text.isdecimal() or int(text) > limit:
    raise InputError(f"{where}: expected a whole number from 0 to {limit}, got {text!r}.")
  return int(text)
