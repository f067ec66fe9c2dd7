"""Predictions that are written down before the run that they are about has started."""

import dataclasses
import datetime
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from etils import epath

import hornet_jax
from hornet_jax.errors import InputError, StorageError
from hornet_jax.files import exists, read_file, write_file
from hornet_jax.laws.condition import parse_condition
from hornet_jax.laws.table import Table, finished, read_points

_SAME_SCALE = 0.01  # relative difference of the scale of a run to the registered one


@dataclasses.dataclass(frozen=True)
class Registration:
  """A `Registration` says what loss a run will have.

  Attributes:
    registered: time of writing, UTC in ISO 8601.
    law: name of the law.
    formula: its equation.
    criterion: what was made small.
    parameters: parameters of the fit.
    columns: role -> column of the table.
    where: conditions on the rows that were fitted to.
    at: scale of the run to come, column -> value.
    predicted: its loss.
    interval: lower and upper end of the interval of one run's loss.
    level: share of runs that such intervals are to hold.
    seed: seed of the bootstrap.
    samples: number of its samples.
    trials: names of the trials that were fitted to.
    data: SHA-256 of the rows that were fitted to.
    version: version of this package.
  """

  registered: str
  law: str
  formula: str
  criterion: dict[str, Any]
  parameters: dict[str, float]
  columns: dict[str, str]
  where: tuple[str, ...]
  at: dict[str, float]
  predicted: float
  interval: tuple[float, float]
  level: float
  seed: int
  samples: int
  trials: tuple[str, ...]
  data: str
  version: str = hornet_jax.__version__

  @property
  def digest(self) -> str:
    """Gives the SHA-256 of all of it."""
    content = json.dumps(dataclasses.asdict(self), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


class Outcome(NamedTuple):
  """An `Outcome` is what became of a prediction.

  Attributes:
    measured: loss of the run.
    is_inside: whether it lies in the registered interval.
  """

  measured: float
  is_inside: bool


def now() -> str:
  """Gives the time, UTC in ISO 8601."""
  return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def write_registration(path: epath.Path, registration: Registration) -> None:
  """Writes a prediction; one that is there already stays.

  Raises:
    InputError: if the file exists.
  """
  if exists(path):
    raise InputError(f"{path} must not exist: a prediction is registered once.")
  content = dataclasses.asdict(registration) | {"sha256": registration.digest}
  write_file(path, json.dumps(content, indent=2) + "\n")


def read_registration(path: epath.Path) -> Registration:
  """Reads a prediction.

  Raises:
    InputError: if the file is none, or was changed since it was written.
  """
  try:
    content = json.loads(read_file(path))
    digest = content.pop("sha256")
    content |= {name: tuple(content[name]) for name in ("interval", "trials", "where")}
    registration = Registration(**content)
  except StorageError:
    raise
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise InputError(
      f"{path} must be a registered prediction, as `fit --register` writes it: got "
      f"{type(error).__name__} in reading it."
    ) from error
  if registration.digest != digest:
    raise InputError(
      f"{path} must be as it was written: its SHA-256 is {registration.digest[:12]}, and not "
      f"{digest[:12]} as it says."
    )
  return registration


def check_registration(registration: Registration, table: Table, trial: str) -> Outcome:
  """Compares a prediction with the run that it is about.

  Args:
    registration: prediction.
    table: table with the run, which has the columns `trial` and `started`.
    trial: name of its trial.

  Raises:
    InputError: if the run had started before the prediction was registered, was among the runs that
      were fitted to, is at another scale or of another kind, or has no loss.
  """
  row = _find_trial(table, trial)
  if trial in registration.trials:
    raise InputError(
      f"trial {trial} must be new to the prediction: it is among the {len(registration.trials)} "
      "trials that the law was fitted to."
    )
  started, registered = _time(row["started"], trial), _time(registration.registered, trial)
  if started < registered:
    raise InputError(
      f"the prediction must be older than the run: registered {registered.isoformat()}, trial "
      f"{trial} started {started.isoformat()}."
    )
  _check_kind(registration, table, row)
  loss = registration.columns["loss"]
  alone = finished(dataclasses.replace(table, rows=[dict(row)]), loss)
  measured = read_points(alone, {"loss": loss}).losses[0]
  low, high = registration.interval
  return Outcome(float(measured), bool(low <= measured <= high))


def _find_trial(table: Table, trial: str) -> Mapping[str, str]:
  for column in ("trial", "started"):
    table.check_column(column)
  for row in table.rows:
    if row["trial"] == trial:
      return row
  raise InputError(
    f"trial {trial} must have a row in {table.path}: got none among {len(table.rows)}."
  )


def _check_kind(registration: Registration, table: Table, row: Mapping[str, str]) -> None:
  # Bounds, such as flops<1e18, say which runs were fitted to; the next one may lie beyond.
  for condition in map(parse_condition, registration.where):
    table.check_column(condition.column)
    if condition.sign == "=" and not condition.holds(row):
      raise InputError(
        f"the prediction must be about such a run: expected {condition}, got "
        f"{row[condition.column]!r}."
      )
  for column, value in registration.at.items():
    table.check_column(column)
    try:
      off = abs(float(row[column]) / value - 1)
    except ValueError:
      off = math.inf
    if off > _SAME_SCALE:
      raise InputError(
        f"the run must be at the registered scale: expected {column} = {value:g}, got "
        f"{row[column]}."
      )


def _time(text: str, trial: str) -> datetime.datetime:
  try:
    time = datetime.datetime.fromisoformat(text)
  except ValueError as error:
    raise InputError(f"the time of trial {trial} must be in ISO 8601: got {text!r}.") from error
  return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
