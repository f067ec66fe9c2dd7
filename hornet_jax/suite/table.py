"""The rows that a run of the suite adds to the table of all results."""

import csv
import io
from collections.abc import Mapping, Sequence

from etils import epath

from hornet_jax.errors import InputError, StorageError
from hornet_jax.files import exists, make_folder, read_file, write_file
from hornet_jax.lock import locked
from hornet_jax.suite.run import SetResult
from hornet_jax.suite.scores import (
  by_corruption,
  calibration_error,
  corruption_error,
  mean_corruption_error,
  real_score,
)
from hornet_jax.suite.sets import REAL
from hornet_jax.tasks.predictions import Predictions

COLUMNS = (
  "date",  # UTC
  "checkpoint",  # as named in the command
  "evaluation",  # first digits of the SHA-256 of parameters and config: names the table of classes
  "sha256",  # of the parameters, see `fingerprint`
  "weights",  # raw or ema; of a file: as they are in it
  "variant",
  "config",  # model, preprocessing and class map, JSON
  "set",
  "images",  # that count
  "undecodable",  # that do not
  "classes",  # that compete
  "top1",  # shares
  "top5",
  "loss",  # mean cross-entropy
  "calibration_error",
  "corruption_error",  # of ImageNet-C: CE of each corruption, mCE in the row of the whole
  "images_per_second",  # reading and decoding included, for all weights of the checkpoint
  "model_images_per_second",  # of the model alone
  "devices",
  "versions",
)

Row = dict[str, str | int | float]


def set_rows(
  name: str, result: SetResult, real_labels: Sequence[Sequence[int]] | None
) -> list[Row]:
  """The scores of a set, a row for each weights; more where a set has several scores.

  Args:
    name: name in `SETS`.
    result: result of it.
    real_labels: labels of the validation images, see `real_score`; None for no row of ReaL.
  """
  rows: list[Row] = []
  common: Row = {
    "undecodable": result.num_undecodable,
    "classes": result.num_classes,
  }
  for weights, predictions in result.predictions.items():
    rate = len(predictions.label) / result.seconds
    of_weights = common | {"weights": weights, "images_per_second": round(rate, 1)}
    rows.append(of_weights | {"set": name} | _scores(predictions))
    if name == "c":
      parts = by_corruption(predictions)
      mean = mean_corruption_error(parts)
      if mean is not None:
        rows[-1]["corruption_error"] = mean
      for corruption, part in parts.items():
        error = corruption_error(corruption, part)
        of_part: Row = {"set": f"c/{corruption}", "corruption_error": error}
        rows.append(of_weights | _scores(part) | of_part)
    if name == "val" and real_labels is not None:
      score = real_score(predictions, real_labels)
      rows.append(of_weights | {"set": REAL, "images": score.num_images, "top1": score.accuracy})
  return rows


def _scores(predictions: Predictions) -> Row:
  return {
    "images": len(predictions.label),
    "calibration_error": calibration_error(predictions),
    **predictions.metrics(),
  }


def append_rows(table: epath.Path, rows: Sequence[Mapping[str, object]]) -> None:
  """Adds rows to the table, a CSV file that is made where there is none.

  Runs that end at the same time take turns.

  Raises:
    InputError: if a file of other columns is there, or it cannot be written.
    StorageError: if the storage fails.
  """
  check_table(table)
  with locked(table.with_name(f"{table.name}.lock"), f"the table {table}", wait=True):
    before = read_file(table) if exists(table) else ""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    if not before:
      writer.writeheader()
    writer.writerows(rows)
    write_file(table, before + text.getvalue())


def check_table(table: epath.Path) -> None:
  """Makes the folder of the table; raises `InputError` where it cannot be written there."""
  make_folder(table.parent)
  if not exists(table):
    return
  try:
    header = read_file(table).partition("\n")[0]
  except StorageError:
    raise
  except (OSError, UnicodeDecodeError) as error:
    raise InputError(f"`table` must be a table of the suite: {table}: {error}.") from error
  if header != ",".join(COLUMNS):
    raise InputError(
      f"`table` must be a table of the suite: expected the columns {','.join(COLUMNS[:3])},... in "
      f"{table}, got {header[:60]!r}. Hint: name another file."
    )


def write_per_class(path: epath.Path, rows: Sequence[Mapping[str, object]]) -> None:
  """Writes the rows of `per_class` as CSV."""
  text = io.StringIO()
  writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
  writer.writeheader()
  writer.writerows(rows)
  make_folder(path.parent)
  write_file(path, text.getvalue())
