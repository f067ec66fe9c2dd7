"""This module reads the CSV files that people give to `prepare`."""

import csv
import pathlib

from hornet_jax.errors import InputError


def read_rows(table: pathlib.Path, key: str, thing: str) -> list[dict[str, str]]:
  """Reads the rows of a CSV file, by the names that its first row has.

  Commas, semicolons and tabs separate.

  Args:
    table: path of the file.
    key: name of the argument, for messages.
    thing: name of what a row is for, likewise.

  Raises:
    InputError: if it is no such file, or has no rows.
  """
  try:
    text = table.read_text(encoding="utf-8-sig")
    dialect = csv.Sniffer().sniff(text[: text.find("\n") + 1 or None], ",;\t")
    rows = list(csv.DictReader(text.splitlines(), dialect=dialect))
  except (OSError, ValueError, csv.Error) as error:
    raise InputError(
      f"`{key}` must be a CSV file with a row of names: {table}: {error}. Hint: save it as "
      "UTF-8 with commas."
    ) from error
  if not rows:
    raise InputError(f"`{key}` must have a row for each {thing}: {table} has none.")
  return rows
