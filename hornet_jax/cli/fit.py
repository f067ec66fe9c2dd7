"""`fit RESULTS` fits a scaling law to a table of runs, and says how far to believe it."""

import argparse
import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from hornet_jax.cli import fit_sections as sections
from hornet_jax.cli.arguments import command_line, positive_int
from hornet_jax.cli.fit_compare import RELEASED, compare_laws
from hornet_jax.cli.fit_output import printed, record, summary
from hornet_jax.cli.fit_register import check, register
from hornet_jax.errors import InputError
from hornet_jax.files import write_file
from hornet_jax.laws.accounting import complete, power_cost
from hornet_jax.laws.analysis import (
  Analysis,
  Options,
  analyse,
  analyse_at,
  analyse_released,
  split_budgets,
)
from hornet_jax.laws.catalogue import LAWS, get_law
from hornet_jax.laws.condition import parse_condition
from hornet_jax.laws.criterion import CRITERIA, HUBER_DELTA, Criterion, make_criterion
from hornet_jax.laws.doubts import repeated_rows
from hornet_jax.laws.isoflop import frontier
from hornet_jax.laws.law import Law
from hornet_jax.laws.points import Points
from hornet_jax.laws.table import (
  ROLES,
  Table,
  find_columns,
  finished,
  held_by_table,
  read_points,
  read_table,
)
from hornet_jax.report.law import LawSection, render_law
from hornet_jax.wording import counted

_ERROR_RATE_NEEDS = 3  # losses
_AHEAD, _DRAWN = 100.0, 41  # factor beyond the largest compute, and budgets that are drawn


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument("results", help="CSV file with a row a run")
  parser.add_argument("--law", default="chinchilla", help=f"one of {', '.join(LAWS)}")
  parser.add_argument(
    "--criterion",
    choices=(*CRITERIA, RELEASED),
    help="what is made small (default: squares for laws of size and data, log_squares for those of "
    "one scale); released: the way in which M2 and M4 were published",
  )
  parser.add_argument(
    "--delta", type=float, default=HUBER_DELTA, help="of Huber's loss (default: %(default)s)"
  )
  columns = parser.add_argument_group("columns, where they are not those of our tables")
  for role in ROLES:
    columns.add_argument(f"--{role}", metavar="COLUMN", dest=f"{role}_column")
  columns.add_argument(
    "--where",
    action="append",
    default=[],
    metavar="CONDITION",
    help="rows to take, such as arm=wide or 'flops<1e18'; may be repeated",
  )
  parser.add_argument(
    "--frontier",
    action="store_true",
    help="take only runs that no smaller scale equals, as laws of compute are meant",
  )
  parser.add_argument("--starts", type=positive_int, default=Options.starts, help="of searches")
  parser.add_argument(
    "--samples", type=int, default=Options.samples, help="of the bootstrap (default: %(default)s)"
  )
  parser.add_argument("--level", type=float, default=Options.level, help="of intervals")
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument(
    "--holdout", type=float, metavar="C0", help="compute from which runs are held out"
  )
  parser.add_argument("--at", metavar="NAME=VALUE,...", help="published parameters, to be judged")
  parser.add_argument("--budget", metavar="FLOPS,...", help="to be split between size and data")
  parser.add_argument("--report", metavar="FILE.html", help="page with tables and figures")
  parser.add_argument("--json", action="store_true", help="for programs, instead of tables")
  parser.add_argument("--predict", metavar="COLUMN:VALUE,...", help="scale of a run to come")
  parser.add_argument("--register", metavar="FILE.json", help="write that prediction down")
  parser.add_argument(
    "--compare",
    metavar="LAW,...",
    help="which of these laws predicts best what it has not seen, over the tasks of the table; a "
    "criterion may stand behind a law, such as m4:released",
  )
  parser.add_argument(
    "--by",
    metavar="COLUMN,...",
    help="with --compare: columns whose values make a task (default: Domain,Task,Model, else the "
    "table is one task)",
  )
  parser.add_argument("--check", metavar="FILE.json", help="a prediction, against its run")
  parser.add_argument("--trial", help="of that run, in the column trial")


def run(args: argparse.Namespace) -> int:
  table = read_table(args.results)
  if args.check:
    return check(args, table)
  if args.register and not args.predict:
    raise InputError(
      "`register` needs `predict`: expected such as --predict=params:3e7,flops:1e18."
    )
  table = table.where([parse_condition(text) for text in args.where])
  if args.compare is not None:
    return compare_laws(args, table)
  if args.by:
    raise InputError("`by` needs `compare`: expected such as --compare=m1,m2 --by=arm.")
  law = get_law(args.law)
  criterion = _criterion(args, law)
  given = {role: getattr(args, f"{role}_column") for role in ROLES}
  columns = find_columns(table, {role: name for role, name in given.items() if name})
  table = finished(table, columns["loss"])
  points, held = _points(args, table, columns, law)
  analysis = _analyse(args, law, points, criterion, held)
  repeated = repeated_rows(table.repeated(), len(table.rows))
  analysis = dataclasses.replace(analysis, doubts=[*repeated, *analysis.doubts])
  prediction = _predict(args, analysis) if args.predict else None
  shown = [] if args.json and not args.report else _sections(args, analysis, prediction)
  told = summary(analysis, _how(args))
  if args.json:
    print(json.dumps(record(analysis, prediction), indent=2))
  else:
    title = f"{law.formula}, {counted(len(points), 'point')} of {args.results}"
    print("\n\n".join([f"{title}\n{told}", *map(printed, shown)]))
  if args.report:
    page = render_law(law.formula, f"{args.results}: {told}", command_line(), shown)
    write_file(epath.Path(args.report), page)
  if args.register:
    assert prediction is not None  # see above
    register(args, analysis, table, columns, prediction)
  return 0


def _criterion(args: argparse.Namespace, law: Law) -> Criterion:
  name = None if args.criterion == RELEASED else args.criterion
  return make_criterion(name, law.axes, args.delta)


def _how(args: argparse.Namespace) -> str:
  """Tells where the parameters are from, where they are not those of the smallest sum."""
  if args.at:
    return "given parameters"
  return "the released scheme" if args.criterion == RELEASED else ""


def _points(
  args: argparse.Namespace, table: Table, columns: Mapping[str, str], law: Law
) -> tuple[Points, Points | None]:
  """Reads the points to fit to, and those that the table itself holds out."""
  points = complete(read_points(table, columns), law.axes)
  is_held = held_by_table(table)
  if args.frontier:
    return points.take(frontier(points.values["scale"], points.losses)), None
  if is_held is None:
    return points, None
  return points.take(~is_held), points.take(is_held)


def _analyse(
  args: argparse.Namespace, law: Law, points: Points, criterion: Criterion, held: Points | None
) -> Analysis:
  if args.at:
    at = {name: _number(text, "at") for name, text in _pairs(args.at, "=", "at")}
    return analyse_at(law, points, criterion, at)
  if args.criterion == RELEASED:
    return analyse_released(law, points, held)
  options = Options(args.starts, args.samples, args.level, args.seed, args.holdout)
  return analyse(law, points, criterion, options, held)


def _budget_sections(args: argparse.Namespace, analysis: Analysis) -> list[LawSection]:
  """Splits budgets between size and data: those that are asked for, and many to draw."""
  points = analysis.fit.points
  if analysis.fit.law.axes != ("size", "data"):
    if args.budget:
      raise InputError(f"`budget` needs a law of size and data: got {args.law}.")
    return []
  compute = points.values["compute"]
  many = np.geomspace(compute.min(), _AHEAD * compute.max(), _DRAWN)
  asked = [_positive(text, "budget") for text in (args.budget or "").split(",") if text]
  cost, off = power_cost(points)
  names = points.names
  told = (
    f"Compute is {names['compute']}. As the runs show it, it is {cost.factor:.4g} N^"
    f"{cost.exponent:.4g} for one of {names['data']}, where N is {names['size']}, at most "
    f"{off - 1:.1%} off."
  )
  drawn = split_budgets(analysis, cost, many)
  shown = split_budgets(analysis, cost, np.array(asked or [many[-1]]))
  isoflop = sections.isoflop(points)
  return [
    sections.budgets(analysis, shown, drawn, told),
    *([isoflop] if isoflop else []),
    sections.frontier(points, drawn),
  ]


def _predict(args: argparse.Namespace, analysis: Analysis) -> dict[str, Any]:
  """Predicts the loss of one more run, with the interval of such runs."""
  fit = analysis.fit
  names = [fit.points.names[role] for role in fit.law.axes]
  by_role = dict(zip(fit.law.axes, names, strict=True))
  pairs = {
    by_role.get(name, name): _positive(text, "predict")
    for name, text in _pairs(args.predict, ":", "predict")
  }
  if set(pairs) != set(names):
    raise InputError(
      f"`predict` must give {' and '.join(names)}, such as {fit.law.axes[0]}:1e9: got "
      f"{', '.join(pairs)}."
    )
  x = np.array([[pairs[name]] for name in names])
  loss = fit.predict(x)
  found: dict[str, Any] = {"at": pairs, "predicted": float(loss[0])}
  if analysis.samples is not None:
    law = analysis.samples.interval(analysis.samples.predict(x), loss)[:, 0]
    run = analysis.samples.interval(analysis.samples.predict_run(x), loss)[:, 0]
    found |= {"law": law.tolist(), "interval": run.tolist()}
  return found


def _sections(
  args: argparse.Namespace, analysis: Analysis, prediction: Mapping[str, Any] | None
) -> list[LawSection]:
  points = analysis.fit.points
  found = [sections.doubts(analysis)]
  is_judged = args.at or args.criterion == RELEASED
  found += [] if is_judged and not analysis.held else [sections.extrapolation(analysis)]
  found.append(sections.parameters(analysis))
  found += [sections.prediction(prediction)] if prediction else []
  found.append(sections.residuals(analysis))
  found += _budget_sections(args, analysis)
  found.append(sections.exponents(points))
  if "error" in points.values and len(np.unique(points.losses)) >= _ERROR_RATE_NEEDS:
    found.append(sections.error_rates(points))
  return found


def _pairs(text: str, mark: str, flag: str) -> list[tuple[str, str]]:
  pairs = [_pair(part, mark, flag) for part in text.split(",")]
  names = [name for name, _ in pairs]
  if len(set(names)) < len(names):
    raise InputError(f"`{flag}` must give each name once: got {text}.")
  return pairs


def _pair(text: str, mark: str, flag: str) -> tuple[str, str]:
  name, found, value = text.rpartition(mark)
  if not found or not name:
    raise InputError(f"`{flag}` must hold pairs such as name{mark}value: got {text!r}.")
  return name.strip(), value.strip()


def _number(text: str, flag: str) -> float:
  try:
    return float(text)
  except ValueError as error:
    raise InputError(f"`{flag}` must hold numbers: got {text!r}.") from error


def _positive(text: str, flag: str) -> float:
  value = _number(text, flag)
  if not 0 < value < np.inf:
    raise InputError(f"`{flag}` must hold positive numbers: got {text}.")
  return value
