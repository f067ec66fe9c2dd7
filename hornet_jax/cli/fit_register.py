"""`fit --register` writes a prediction down, `fit --check` holds it against the run."""

import argparse
import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from etils import epath

from hornet_jax.errors import InputError
from hornet_jax.laws.analysis import Analysis
from hornet_jax.laws.registration import (
  Registration,
  check_registration,
  now,
  read_registration,
  write_registration,
)
from hornet_jax.laws.table import Table

_logger = logging.getLogger(__name__)


def register(
  args: argparse.Namespace,
  analysis: Analysis,
  table: Table,
  columns: dict[str, str],
  prediction: Mapping[str, Any],
) -> None:
  """Writes the prediction of one more run, with all that it rests on.

  Raises:
    InputError: if it has no interval, or the file exists.
  """
  if analysis.samples is None:
    raise InputError("a prediction must have an interval: `register` needs samples and no `at`.")
  table.check_column("trial")  # by which a run is known that was fitted to
  fit = analysis.fit
  registration = Registration(
    registered=now(),
    law=args.law,
    formula=fit.law.formula,
    criterion=dataclasses.asdict(fit.criterion),
    parameters=fit.parameters,
    columns=columns,
    where=tuple(args.where),
    at=prediction["at"],
    predicted=prediction["predicted"],
    interval=(prediction["interval"][0], prediction["interval"][1]),
    level=args.level,
    seed=args.seed,
    samples=args.samples,
    trials=tuple(row["trial"] for row in table.rows),
    data=table.digest(),
  )
  write_registration(epath.Path(args.register), registration)
  _logger.info("registered in %s: %s", args.register, registration.digest)


def check(args: argparse.Namespace, table: Table) -> int:
  """Prints whether the loss of a run lies in the registered interval."""
  if not args.trial:
    raise InputError("`check` needs the `trial` that the prediction is about.")
  registration = read_registration(epath.Path(args.check))
  outcome = check_registration(registration, table, args.trial)
  low, high = registration.interval
  verdict = "inside" if outcome.is_inside else "outside"
  print(
    f"trial {args.trial}: measured {outcome.measured:.5g}, predicted {registration.predicted:.5g}, "
    f"{verdict} the {registration.level:.0%} interval {low:.5g} to {high:.5g}, registered "
    f"{registration.registered}"
  )
  return 0
