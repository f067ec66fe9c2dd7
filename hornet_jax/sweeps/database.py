"""The database of a queue: SQLite, whose transactions have to be told to wait, or a server."""

import contextlib
from collections.abc import Iterator
from typing import Any

import sqlalchemy
from etils import epath
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

from hornet_jax.errors import InputError, StorageError
from hornet_jax.files import make_folder

_MAX_RETRIES = 20  # of a trial whose workers die
_WAIT_SECONDS = 100  # for another process's transaction of SQLite


def open_database(url: str, beat: int, silence: int) -> RDBStorage:
  """Opens the database of a queue, or makes it.

  Args:
    url: URL as SQLAlchemy has it.
    beat: seconds between the signs of life of a worker.
    silence: seconds without one after which a worker counts as dead.

  Raises:
    InputError: if there is no such database, or no driver for it.
  """
  is_sqlite = url.startswith("sqlite")
  try:
    if is_sqlite and (file := sqlalchemy.make_url(url).database):
      make_folder(epath.Path(file).parent)
    storage = RDBStorage(
      url,
      engine_kwargs={"connect_args": {"timeout": _WAIT_SECONDS}} if is_sqlite else {},
      heartbeat_interval=beat,
      grace_period=silence,
      heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(_MAX_RETRIES),
    )
  except (ImportError, ArgumentError, OperationalError) as error:
    raise InputError(
      f"`storage` must be the URL of a database that answers, such as sqlite:///FILE or "
      f"postgresql+psycopg://USER@HOST/NAME: got {url!r}: {_first_line(error)}."
    ) from error
  if is_sqlite:
    _begin_immediately(storage.engine)
  return storage


def _begin_immediately(engine: sqlalchemy.Engine) -> None:
  """Lets a transaction of SQLite have the file to itself from its first word on.

  Else two workers read that a trial waits before either of them writes that it has it.
  Source: https://github.com/optuna/optuna/issues/4002, and SQLAlchemy's documentation of SQLite,
  "Serializable isolation".
  """

  def leave_transactions_alone(connection: Any, _: Any) -> None:
    connection.isolation_level = None

  def begin(connection: sqlalchemy.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")

  sqlalchemy.event.listen(engine, "connect", leave_transactions_alone)
  sqlalchemy.event.listen(engine, "begin", begin)
  engine.dispose()  # connections that were made before


@contextlib.contextmanager
def answering() -> Iterator[None]:
  """Turns the errors of a database that does not answer into one that a new start may mend."""
  try:
    yield
  except (SQLAlchemyError, StorageInternalError) as error:
    cause = _first_line(error.__cause__ or error)
    raise StorageError(f"the database of the sweep fails: {cause}") from error


def _first_line(error: BaseException) -> str:
  return (str(error).strip().splitlines() or [type(error).__name__])[0]
