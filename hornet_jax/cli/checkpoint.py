"""`checkpoint` lists, verifies, prunes or exports the checkpoints of a run."""

import argparse
import contextlib
import json
from collections.abc import Collection
from typing import Any

from etils import epath
from tabulate import tabulate

from hornet_jax.checkpoints import manifest
from hornet_jax.checkpoints.manifest import Integrity
from hornet_jax.checkpoints.newest_valid import choose
from hornet_jax.checkpoints.restore import check_restorable, reason_of
from hornet_jax.checkpoints.retention import StepFolder, by_score, delete, states_of, surplus
from hornet_jax.cli import export
from hornet_jax.config.length import branch_steps
from hornet_jax.errors import InputError
from hornet_jax.exit_status import COMPLETE, PERSON
from hornet_jax.runs.workdir import check_is_folder, load_config, load_num_examples, only_writer
from hornet_jax.tasks import get_task
from hornet_jax.train.ranking import EVAL_EMA, ranking_key
from hornet_jax.train.task import Task


def add_arguments(parser: argparse.ArgumentParser) -> None:
  actions = parser.add_subparsers(metavar="ACTION", dest="action", required=True)
  listing = _add_action(actions, "list", "what there is, by names and sizes of files alone")
  listing.add_argument("--json", action="store_true", help="for programs")
  verifying = _add_action(
    actions, "verify", "read every file and restore each; status 2 unless all are as written"
  )
  verifying.add_argument("--step", help="this one alone, or last or best (default: all)")
  pruning = _add_action(actions, "prune", "delete all but the newest and the best intact ones")
  pruning.add_argument("--keep", type=int, help="number of newest ones (default: the run's own)")
  pruning.add_argument("--damaged", action="store_true", help="delete damaged ones too")
  pruning.add_argument("--dry_run", action="store_true", help="only say what would be deleted")
  export.add_arguments(
    actions.add_parser("export", help="the same as `hornet export`", allow_abbrev=False)
  )


def _add_action(actions, name: str, summary: str) -> argparse.ArgumentParser:
  parser = actions.add_parser(name, help=summary, description=summary, allow_abbrev=False)
  parser.add_argument("--workdir", required=True, help="of a run")
  return parser


def run(args: argparse.Namespace) -> int:
  actions = {"list": _list, "verify": _verify, "prune": _prune, "export": export.run}
  return actions[args.action](args)


def _task(args: argparse.Namespace) -> type[Task]:
  """The task of the run."""
  return get_task(load_config(epath.Path(args.workdir))["task"])


def _all_steps(args: argparse.Namespace) -> list[StepFolder]:
  """Lists the checkpoints of the run, oldest first."""
  workdir = epath.Path(args.workdir)
  check_is_folder(workdir)
  return choose(workdir / "checkpoints", "last")[::-1]


def _list(args: argparse.Namespace) -> int:
  steps, task = _all_steps(args), _task(args)
  ranked_by, primary = ranking_key(task), task.scores[0]
  found = {folder.step: manifest.check(folder.path, read=False) for folder in steps}
  sound = [folder for folder in steps if found[folder.step].state != Integrity.DAMAGED]
  marks = {folder.step: ["last"] for folder in sound[-1:]}
  for folder in by_score(sound, ranked_by)[:1]:
    marks.setdefault(folder.step, []).append("best")
  rows: list[dict[str, Any]] = [
    {
      "step": folder.step,
      "saved": folder.saved.isoformat(timespec="seconds") if folder.saved else None,
      "bytes": manifest.size_of(folder.path),
      "metrics": folder.metrics,
      "state": found[folder.step].state.value,
      "reason": found[folder.step].reason,
      "marks": marks.get(folder.step, []),
    }
    for folder in steps
  ]
  if args.json:
    print(json.dumps(rows, indent=2))
    return 0
  table = [
    [
      f"{row['step']:,}",
      row["saved"] or "",
      f"{row['bytes'] / 1e6:,.1f} MB",
      primary.text(row["metrics"], EVAL_EMA) if ranked_by in row["metrics"] else "",
      row["state"] + (f": {row['reason']}" if row["state"] == Integrity.DAMAGED.value else ""),
      ", ".join(row["marks"]),
    ]
    for row in rows
  ]
  headers = ["step", "saved (UTC)", "size", f"{primary.title}, averaged", "files", ""]
  right = ("right", "left", "right", "right", "left", "left")
  print(tabulate(table, headers=headers, disable_numparse=True, colalign=right))
  return 0


def _verify(args: argparse.Namespace) -> int:
  directory = epath.Path(args.workdir) / "checkpoints"
  if args.step:
    steps = choose(directory, args.step, ranking_key(_task(args)))[:1]
  else:
    steps = _all_steps(args)
  sound = True
  for folder in steps:
    verdict = manifest.check(folder.path)
    told = verdict.state.value + (verdict.reason and f": {verdict.reason}")
    refused = _refusal(folder) if verdict.state != Integrity.DAMAGED else ""
    sound = sound and verdict.state == Integrity.INTACT and not refused
    print(f"step {folder.step}: {told}" + (refused and f", but it cannot be restored: {refused}"))
  return COMPLETE if sound else PERSON


def _refusal(folder: StepFolder) -> str:
  """Tells why Orbax does not restore a checkpoint; empty where it does."""
  try:
    check_restorable(folder.path)
  except Exception as error:
    return reason_of(error)
  return ""


def _prune(args: argparse.Namespace) -> int:
  workdir = epath.Path(args.workdir)
  config = load_config(workdir)
  retention = config["checkpoint"]
  keep = retention["keep"] if args.keep is None else args.keep
  if keep < 1:
    raise InputError(f"--keep must be at least 1: got {keep}. Hint: the last good one stays.")
  with contextlib.nullcontext() if args.dry_run else only_writer(workdir):
    for_branches = branch_steps(config, load_num_examples(workdir))
    return _prune_to(keep, max(retention["keep_best"], 1), for_branches, args)


def _prune_to(
  keep: int, keep_best: int, keep_steps: Collection[int], args: argparse.Namespace
) -> int:
  steps = _all_steps(args)
  states = states_of(steps, read=True)
  going = surplus(steps, states, keep, keep_best, ranking_key(_task(args)), keep_steps)
  if args.damaged:
    going += [folder for folder in steps if states[folder.step] == Integrity.DAMAGED]
  for folder in sorted(going):
    if not args.dry_run:
      delete(folder)
    verb = "would delete" if args.dry_run else "deleted"
    print(f"{verb} step {folder.step} ({states[folder.step].value})")
  gone = {folder.step for folder in going}
  left = [folder for folder in steps if folder.step not in gone]
  print("kept:", ", ".join(f"{f.step} ({states[f.step].value})" for f in left) or "nothing")
  return 0
