"""Results of trials are kept in one CSV file, a row for each trial, for all studies beside it."""

import csv
import io
from collections.abc import Mapping

from etils import epath

from hornet_jax.errors import InputError
from hornet_jax.files import exists, make_folder, read_file, write_file
from hornet_jax.lock import locked

COLUMNS = (
  "trial",  # first digits of the SHA-256 of its settings
  "variant",
  "fields",  # in which the model differs from the variant
  "image_size",  # side in pixels
  "seed",
  "learning_rate",
  "config",
  "overrides",  # JSON
  "steps",
  "images_seen",  # repeated ones counted again
  "unique_images",
  "params",  # without the head
  "params_with_head",
  "macs",  # of one image, those of Fourier transforms included
  "flops",  # of the whole training, recomputation left out
  "score",  # of the averaged weights: a share of the images
  "score_raw",
  "error",  # 1 - score
  "loss",
  "seconds",  # of the process that finished it
  "images_per_second",  # median over the log lines
  "reason",  # why there is no score
  "revision",  # of the code
  "hardware",
  "started",  # UTC
  "ended",  # UTC
)

Row = Mapping[str, str]


def read_results(table: epath.Path) -> dict[str, Row]:
  """Reads the rows by the names of the trials; none where there is no file.

  Raises:
    InputError: if the file has other columns.
  """
  if not exists(table):
    return {}
  reader = csv.DictReader(io.StringIO(read_file(table)))
  if tuple(reader.fieldnames or ()) != COLUMNS:
    raise InputError(
      f"{table} must be a table of trials: expected the columns {', '.join(COLUMNS[:5])}, ..., got "
      f"{', '.join((reader.fieldnames or ['none'])[:5])}. Hint: name another file by --results."
    )
  return {row["trial"]: row for row in reader}


def add_result(table: epath.Path, row: Row) -> None:
  """Adds a row, or replaces that of the same trial; rows are sorted by the trial's name."""
  make_folder(table.parent)
  with locked(table.with_name(f".{table.name}.lock"), f"the table {table}", wait=True):
    rows = {**read_results(table), row["trial"]: row}
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows[name] for name in sorted(rows))
    write_file(table, text.getvalue())
