"""`fit RESULTS --compare=LAW,...` tells which law predicts best, over the tasks of a table."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from hornet_jax.cli.arguments import command_line
from hornet_jax.cli.fit_output import printed
from hornet_jax.errors import InputError
from hornet_jax.files import write_file
from hornet_jax.laws.accounting import complete
from hornet_jax.laws.catalogue import get_law
from hornet_jax.laws.compare import Comparison, Contender, Task, compare, fitted, released
from hornet_jax.laws.criterion import make_criterion
from hornet_jax.laws.holdout import split_larger
from hornet_jax.laws.law import Law
from hornet_jax.laws.table import (
  BENCHMARK_TASK,
  ROLES,
  Table,
  find_columns,
  finished,
  held_by_table,
  read_points,
)
from hornet_jax.report.law import LawSection, render_law
from hornet_jax.wording import counted

RELEASED = "released"
_OF_ONE_FIT = ("criterion", "frontier", "at", "budget", "predict", "register", "check")


def compare_laws(args: argparse.Namespace, table: Table) -> int:
  """Compares laws, and prints who wins how many tasks, then the errors in each.

  Raises:
    InputError: if a law or a column is unknown, or a task has nothing to predict.
  """
  for name in _OF_ONE_FIT:
    if getattr(args, name):
      raise InputError(
        f"`compare` must come without `{name}`, which is for the fit of one law. Hint: a criterion "
        "stands behind its law, such as --compare=m1,m4:released."
      )
  contenders, axes = _contenders(args)
  given = {role: getattr(args, f"{role}_column") for role in ROLES}
  columns = find_columns(table, {role: name for role, name in given.items() if name})
  by = [name.strip() for name in (args.by or "").split(",") if name.strip()]
  by = by or [name for name in BENCHMARK_TASK if name in table.columns]
  groups = finished(table, columns["loss"]).groups(by)
  tasks = [
    _task(
      name or "all runs",
      rows,
      columns,
      axes,
      args.holdout,
      is_marked=held_by_table(table) is not None,
    )
    for name, rows in groups.items()
  ]
  found = compare(tasks, contenders, lambda name: print(f"{name} ...", file=sys.stderr, flush=True))
  sections = [_wins(found, by), _errors(found, tasks)]
  if args.json:
    print(json.dumps(_record(found), indent=2))
  else:
    print("\n\n".join(map(printed, sections)))
  if args.report:
    title = f"Comparison of {', '.join(found.laws)}"
    page = render_law(title, args.results, command_line(), sections)
    write_file(epath.Path(args.report), page)
  return 0


def _contenders(args: argparse.Namespace) -> tuple[dict[str, Contender], list[str]]:
  """Reads the laws, and gives the roles of the columns that they need."""
  found: dict[str, Contender] = {}
  axes: list[str] = []
  for text in args.compare.split(","):
    name, _, criterion = text.strip().partition(":")
    law = get_law(name)
    found[text.strip()] = _contender(args, law, criterion)
    axes += law.axes
  return found, axes


def _contender(args: argparse.Namespace, law: Law, criterion: str) -> Contender:
  if criterion == RELEASED:
    return released(law)
  return fitted(law, make_criterion(criterion or None, law.axes, args.delta), args.starts)


def _task(
  name: str,
  rows: Table,
  columns: Mapping[str, str],
  axes: Sequence[str],
  bound: float | None,
  *,
  is_marked: bool,
) -> Task:
  """Reads a task, and splits it as the table says, or else by compute or scale."""
  points = complete(read_points(rows, columns), axes)
  if not is_marked:
    role = "compute" if "compute" in points.values else "scale"
    is_held, _ = split_larger(points, role, bound)
  else:
    marked = held_by_table(rows)
    if marked is None:
      raise InputError(
        f"every task of {rows.path} must have points to fit to and points to predict: "
        f"{name} has only one kind. Hint: leave it out by --where."
      )
    is_held = marked
  return Task(name, points.take(~is_held), points.take(is_held))


def _wins(found: Comparison, by: Sequence[str]) -> LawSection:
  wins = found.wins()
  rows = []
  for i in np.argsort(-wins, kind="stable"):
    known = found.errors[:, i][np.isfinite(found.errors[:, i])]
    rows.append(
      {
        "law": found.laws[i],
        "tasks won": f"{wins[i]:.4g}",
        "share": f"{wins[i] / len(found.tasks):.2%}",
        "median error": f"{np.median(known):.4f}" if len(known) else "",
        "tasks without a number": str(len(found.tasks) - len(known)),
      }
    )
  text = (
    f"{counted(len(found.tasks), 'task')}{' by ' + ', '.join(by) if by else ''}. An error is the "
    "root mean square of log(predicted / measured) of the points that were held out; errors are "
    "compared to three decimals, and equal ones share the task."
  )
  return LawSection("Which law predicts best", text, rows)


def _errors(found: Comparison, tasks: Sequence[Task]) -> LawSection:
  rows = []
  for task, errors, deviations in zip(tasks, found.errors, found.deviations, strict=True):
    row = {"task": task.name, "seen": str(len(task.seen)), "held out": str(len(task.held))}
    for law, error, deviation in zip(found.laws, errors, deviations, strict=True):
      more = f" +- {deviation:.4f}" if np.isfinite(deviation) else ""
      row[law] = f"{error:.4f}{more}" if np.isfinite(error) else ""
    rows.append(row)
  text = (
    "With one standard error where several points are held out; empty where a law has more "
    "parameters than there are points, or predicts no number."
  )
  return LawSection("Errors", text, rows)


def _record(found: Comparison) -> dict[str, Any]:
  wins = found.wins()
  return {
    "laws": list(found.laws),
    "wins": dict(zip(found.laws, wins.tolist(), strict=True)),
    "shares": dict(zip(found.laws, (wins / len(found.tasks)).tolist(), strict=True)),
    "tasks": [
      {
        "task": name,
        "errors": {
          law: error if np.isfinite(error) else None
          for law, error in zip(found.laws, errors.tolist(), strict=True)
        },
      }
      for name, errors in zip(found.tasks, found.errors, strict=True)
    ],
  }
