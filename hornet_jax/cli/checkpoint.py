"""`checkpoint`: what a run has kept, whether it is intact, and what of it can go."""

import argparse
import json
from typing import Any

from etils import epath
from tabulate import tabulate

from hornet_jax.cli import export
from hornet_jax.errors import InputError
from hornet_jax.train import manifest
from hornet_jax.train.checkpoint import choose
from hornet_jax.train.manifest import State
from hornet_jax.train.step_folders import StepFolder, by_score, delete, score, states_of, surplus
from hornet_jax.train.workdir import load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
  actions = parser.add_subparsers(metavar="ACTION", dest="action", required=True)
  listing = _add_action(actions, "list", "what there is, by names and sizes of files alone")
  listing.add_argument("--json", action="store_true", help="for programs")
  verifying = _add_action(actions, "verify", "read every file; status 1 if one is not as written")
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


def _all_steps(args: argparse.Namespace) -> list[StepFolder]:
  """The checkpoints of the run, oldest first."""
  return choose(epath.Path(args.workdir) / "checkpoints", "last")[::-1]


def _list(args: argparse.Namespace) -> int:
  steps = _all_steps(args)
  found = {folder.step: manifest.check(folder.path, read=False) for folder in steps}
  sound = [folder for folder in steps if found[folder.step].state != State.DAMAGED]
  marks = {folder.step: ["last"] for folder in sound[-1:]}
  for folder in by_score(sound)[:1]:
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
      f"{100 * score(row['metrics']):.2f} %" if row["metrics"] else "",
      row["state"] + (f": {row['reason']}" if row["state"] == State.DAMAGED.value else ""),
      ", ".join(row["marks"]),
    ]
    for row in rows
  ]
  headers = ["step", "saved (UTC)", "size", "top-1, averaged", "files", ""]
  right = ("right", "left", "right", "right", "left", "left")
  print(tabulate(table, headers=headers, disable_numparse=True, colalign=right))
  return 0


def _verify(args: argparse.Namespace) -> int:
  directory = epath.Path(args.workdir) / "checkpoints"
  steps = choose(directory, args.step)[:1] if args.step else _all_steps(args)
  sound = True
  for folder in steps:
    verdict = manifest.check(folder.path)
    sound = sound and verdict.state == State.INTACT
    print(f"step {folder.step}: {verdict.state.value}" + (verdict.reason and f": {verdict.reason}"))
  return 0 if sound else 1


def _prune(args: argparse.Namespace) -> int:
  kept = load_config(epath.Path(args.workdir))["checkpoint"]
  keep = kept["keep"] if args.keep is None else args.keep
  if keep < 1:
    raise InputError(f"--keep must be at least 1: got {keep}. Hint: the last good one stays.")
  steps = _all_steps(args)
  states = states_of(steps, read=True)
  going = surplus(steps, states, keep, max(kept["keep_best"], 1))
  if args.damaged:
    going += [folder for folder in steps if states[folder.step] == State.DAMAGED]
  for folder in sorted(going):
    if not args.dry_run:
      delete(folder)
    verb = "would delete" if args.dry_run else "deleted"
    print(f"{verb} step {folder.step} ({states[folder.step].value})")
  gone = {folder.step for folder in going}
  left = [folder for folder in steps if folder.step not in gone]
  print("kept:", ", ".join(f"{f.step} ({states[f.step].value})" for f in left) or "nothing")
  return 0
