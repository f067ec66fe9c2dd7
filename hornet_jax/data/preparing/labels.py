"""This module reads a table of image files and their labels."""

import os
import pathlib

from hornet_jax.data.preparing.csv_rows import read_rows
from hornet_jax.data.preparing.found_images import ALL, SPLIT_NAMES, FoundImages, Item
from hornet_jax.errors import InputError

_PATH = ("path", "file", "filename", "file_name", "filepath", "image", "image_path", "image_id")
_LABEL = ("label", "class", "class_name", "category", "target")
_SPLIT = ("split", "set", "subset", "fold")


def find_by_labels(path: pathlib.Path, table: pathlib.Path) -> FoundImages:
  """Finds images that a CSV file names, with their labels.

  Its first row names the columns: a path within the folder (`path`, `file`, `image`, ...), a
  label (`label`, `class`, ...) and, where the table splits them, a split (`split`: train, val or
  test). Labels that are all whole numbers are sorted by value, others as text. Commas,
  semicolons and tabs separate.

  Args:
    path: folder of the images.
    table: path of the CSV file.

  Raises:
    InputError: if a column is missing, a row is incomplete or contradicts another.
  """
  if not path.is_dir():
    raise InputError(f"`path` must be the folder of the images: {path} is none.")
  if not table.is_file():
    raise InputError(f"`labels` must be a CSV file: {table} is none.")
  rows = read_rows(table, "labels", "image")
  header = list(rows[0])
  of_path, of_label = (_column(table, header, names) for names in (_PATH, _LABEL))
  of_split = next((name for name in header if name.strip().lower() in _SPLIT), None)
  entries: dict[tuple[str, str], str] = {}  # (split, file) -> label
  for number, row in enumerate(rows, 2):
    name, label = ((row[column] or "").strip() for column in (of_path, of_label))
    split = _split(table, number, row[of_split]) if of_split else ALL
    if not name or not label:
      raise InputError(
        f"{table}, line {number}: expected a path and a label, got {name!r} and {label!r}."
      )
    name = _within(path, table, number, name)
    if entries.setdefault((split, name), label) != label:
      raise InputError(
        f"{table}, line {number}: {name!r} must have one label: got {label!r} after "
        f"{entries[split, name]!r}."
      )
  class_names = _sorted(set(entries.values()))
  labels = {label: number for number, label in enumerate(class_names)}
  left_out: dict[pathlib.Path, str] = {}
  splits: dict[str, list[Item]] = {}
  for (split, name), label in entries.items():
    file = path / name
    if not file.is_file():
      left_out[file] = "named in the table, but not there"
    else:
      splits.setdefault(split, []).append((file, labels[label]))
  for items in splits.values():
    items.sort(key=lambda item: (item[1], item[0]))
  if not splits:
    raise InputError(
      f"`labels` must name files of {path}: found none of {len(entries)}, such as "
      f"{next(iter(left_out))}. Hint: paths in the table are relative to --path."
    )
  named = {path / name for _, name in entries}
  for file in sorted(path.rglob("*")):
    if file not in named and file.is_file() and not file.samefile(table):
      left_out[file] = "not named in the table"
  if of_split and not {"train"} < splits.keys():
    raise InputError(
      f"`labels` must have train and val or test in its column {of_split!r}: got "
      f"{', '.join(splits)}. Hint: without that column, images are split by rule."
    )
  rule = f"by the column {of_split} of {table.name}" if of_split else ""
  order = {split: splits[split] for split in (*SPLIT_NAMES.values(), ALL) if split in splits}
  return FoundImages(path, class_names, order, left_out, rule)


def _within(path: pathlib.Path, table: pathlib.Path, number: int, name: str) -> str:
  """Returns the one path of a file within the folder, however the table spells it."""
  inside = os.path.relpath(path / name, path)
  if inside.startswith(".."):
    raise InputError(f"{table}, line {number}: expected a path within {path}, got {name!r}.")
  return inside


def _column(table: pathlib.Path, header: list[str], names: tuple[str, ...]) -> str:
  found = [name for name in header if (name or "").strip().lower() in names]
  if len(found) != 1:
    raise InputError(
      f"`labels` must have one column named {', '.join(names[:-1])} or {names[-1]}: {table} has "
      f"{', '.join(map(repr, header))}."
    )
  return found[0]


def _split(table: pathlib.Path, number: int, value: str | None) -> str:
  split = SPLIT_NAMES.get((value or "").strip().lower())
  if split is None:
    raise InputError(
      f"{table}, line {number}: expected a split, such as train, val or test, got {value!r}."
    )
  return split


def _sorted(labels: set[str]) -> list[str]:
  if all(label.isdecimal() for label in labels):
    return sorted(labels, key=int)
  return sorted(labels)
