"""Tables of runs as CSV files: our own, the benchmark's, and any other by the names of its columns.

Our own is tidy, a row for each trial. The benchmark's is that of arXiv 2209.06640, with the columns
Domain, Task, Model, Seen Examples, Loss and Training.
"""

import csv
import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath

from hornet_jax.errors import InputError, StorageError, unknown_name
from hornet_jax.file_kind import file_kind
from hornet_jax.files import read_file
from hornet_jax.laws.condition import Condition
from hornet_jax.laws.points import Points, check_number
from hornet_jax.wording import counted

ROLES = ("size", "width", "depth", "data", "compute", "scale", "loss", "error", "run")
_OURS = {
  **{"size": "params", "data": "images_seen", "compute": "flops", "scale": "flops"},
  **{"loss": "loss", "error": "error", "run": "run"},
}
_APART = (
  "size",
  "width",
  "depth",
  "data",
  "compute",
  "loss",
)  # roles that no two of are in one column
_SEPARATORS = (",", ";", "\t")
_SHOWN = 5  # cells of a column or a row, in an error
_BENCHMARK = {"data": "Seen Examples", "scale": "Seen Examples", "loss": "Loss"}
BENCHMARK_TASK = ("Domain", "Task", "Model")  # columns that name a task of the benchmark
_TRAINING = "Training"  # of the benchmark: 1 for points to fit to, 0 for points to predict


@dataclasses.dataclass(frozen=True)
class Table:
  """A `Table` is what a CSV file says.

  Attributes:
    path: path of the file.
    columns: names of the columns.
    rows: rows, column -> text.
  """

  path: str
  columns: tuple[str, ...]
  rows: list[dict[str, str]]

  def where(self, conditions: Sequence[Condition]) -> "Table":
    """Gives the rows that fulfil all of some conditions.

    Raises:
      InputError: if a column is unknown or no row is left.
    """
    rows = self.rows
    for condition in conditions:
      self.check_column(condition.column)
      left = [row for row in rows if condition.holds(row)]
      if not left:
        known = sorted({row[condition.column] for row in rows})
        raise InputError(
          f"rows of {self.path} with {condition} must exist: {condition.column} is "
          f"{', '.join(known[:_SHOWN])}{' and so on' if len(known) > _SHOWN else ''}."
        )
      rows = left
    return dataclasses.replace(self, rows=rows)

  def groups(self, columns: Sequence[str]) -> "dict[str, Table]":
    """Splits the rows by the values of some columns, in the order in which these first come.

    Args:
      columns: names of columns; none for all rows together.

    Returns:
      The values, with commas between them -> the rows that have them.

    Raises:
      InputError: if a column is unknown.
    """
    for column in columns:
      self.check_column(column)
    found: dict[str, list[dict[str, str]]] = {}
    for row in self.rows:
      found.setdefault(", ".join(row[column] for column in columns), []).append(row)
    return {name: dataclasses.replace(self, rows=rows) for name, rows in found.items()}

  def repeated(self) -> int:
    """Counts the rows that are there before, cell by cell."""
    return len(self.rows) - len({tuple(row.values()) for row in self.rows})

  def check_column(self, column: str) -> None:
    """Raises `InputError` where a column does not exist."""
    if column not in self.columns:
      raise unknown_name(f"column of {self.path}", column, self.columns)

  def digest(self) -> str:
    """Gives the SHA-256 of the rows, in whatever order they stand in the file."""
    texts = sorted(json.dumps(row, sort_keys=True) for row in self.rows)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def read_table(path: str) -> Table:
  """Reads a CSV file with a line of names; semicolons and tabs may stand in place of commas.

  Raises:
    InputError: if it does not exist, is no CSV file, has no row or two columns of one name.
  """
  place = epath.Path(path)
  lines: list[str] = []
  try:
    lines = read_file(place).splitlines()
    reader = csv.DictReader(lines, delimiter=_separator(lines), skipinitialspace=True, strict=True)
    rows = list(reader)
  except StorageError:
    raise
  except FileNotFoundError as error:
    raise InputError(f"{path} must be a CSV file of runs: there is none.") from error
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    why = f", after line {reader.line_num}: {error}" if lines else ""
    raise InputError(f"{path} must be a CSV file of runs: got {file_kind(place)}{why}.") from error
  columns = tuple(reader.fieldnames or ())
  if not rows:
    raise InputError(f"{path} must have a line of names and a row a run: got no row.")
  if len(set(columns)) < len(columns):
    twice = next(name for name in columns if columns.count(name) > 1)
    raise InputError(f"{path} must have columns of different names: {twice!r} is there twice.")
  for number, row in enumerate(rows, 2):
    if None in row or None in row.values():
      raise InputError(
        f"{path} must be a CSV file with {counted(len(columns), 'column')}, {', '.join(columns)}: "
        f"line {number} has another number of them."
      )
  return Table(path, columns, rows)


def _separator(lines: Sequence[str]) -> str:
  """Finds what stands between the names of the columns: commas, or what other programs write."""
  return max(_SEPARATORS, key=(lines[0] if lines else "").count)


def find_columns(table: Table, given: Mapping[str, str]) -> dict[str, str]:
  """Finds the column of each role: those that are given, else those of a schema that is known.

  Args:
    table: table to look at.
    given: role -> column, by which a person names them.

  Raises:
    InputError: if a column does not exist or has two roles, or none has the losses.
  """
  for column in given.values():
    table.check_column(column)
  known = _BENCHMARK if set(_BENCHMARK.values()) <= set(table.columns) else _OURS
  found = {role: column for role, column in known.items() if column in table.columns}
  found |= given
  by_column: dict[str, str] = {}
  for role in _APART:
    other = by_column.setdefault(found.get(role, role), role)
    if other != role:
      raise InputError(
        f"`{other}` and `{role}` must be columns of their own: got {found[role]} for both."
      )
  if "loss" not in found:
    raise InputError(
      f"{table.path} must have a column with losses: expected {_OURS['loss']}, got "
      f"{', '.join(table.columns)}. Hint: name it by --loss=COLUMN."
    )
  return found


def finished(table: Table, column: str) -> Table:
  """Gives the rows with a loss: others are of runs that have no result yet, or never will.

  Args:
    table: table to look at.
    column: column with the losses.

  Raises:
    InputError: if there is none.
  """
  table.check_column(column)
  rows = [row for row in table.rows if row[column] != ""]
  if not rows:
    raise InputError(f"{table.path} must have losses in {column}: got empty cells alone.")
  return dataclasses.replace(table, rows=rows)


def read_points(table: Table, columns: Mapping[str, str]) -> Points:
  """Reads the numbers of some columns; a column without any is left out.

  Args:
    table: table to read, whose rows are finished.
    columns: role -> column.

  Raises:
    InputError: if a cell holds no positive number.
  """
  values = {
    role: np.array([_number(table, row, column) for row in table.rows])
    for role, column in columns.items()
    if role != "run" and any(row[column] for row in table.rows)
  }
  runs = [f"row {i}" for i in range(len(table.rows))]
  if "run" in columns:
    runs = [row[columns["run"]] or alone for row, alone in zip(table.rows, runs, strict=True)]
  return Points(values, dict(columns), np.array(runs))


def held_by_table(table: Table) -> np.ndarray | None:
  """Tells which rows the benchmark's table holds out, bool [n]; None for any other table."""
  marks = [row.get(_TRAINING) for row in table.rows]
  return np.array([mark == "0" for mark in marks]) if set(marks) == {"0", "1"} else None


def _number(table: Table, row: Mapping[str, str], column: str) -> float:
  try:
    value = float(row[column])
  except ValueError:
    value = math.nan
  start = ", ".join(list(row.values())[:_SHOWN])
  check_number(
    column,
    value,
    f"{row[column]!r} in the row of {table.path} that begins with {start}. Hint: leave rows out by "
    "--where, or name another column",
  )
  return value
