"""`study FOLDER` trains designs against each other and writes the table of what came out."""

import argparse
import pathlib
import shlex
import sys
from collections.abc import Sequence

from etils import epath

from hornet_jax.cli.arguments import positive_int
from hornet_jax.cost.estimate import Range
from hornet_jax.cost.hardware import parse_topology
from hornet_jax.cost.plan import Limits
from hornet_jax.cost.xla.compile import check_compiler, results_folder
from hornet_jax.errors import InputError
from hornet_jax.studies.figure import draw_arms
from hornet_jax.studies.price import chip_hours, describe_hours, describe_total
from hornet_jax.studies.run_study import Runner, arm_trials, run_study, tuning_trials
from hornet_jax.studies.study import Study, load_study
from hornet_jax.studies.summary import arm_results, learning_rates_table, results_table

_PLAN_SECONDS = 1800.0  # for one program
_START, _END = "<!-- written by `hornet study` -->", "<!-- end of what it wrote -->"


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument("study", help="folder with a study.py, such as experiments/orders")
  parser.add_argument(
    "--results",
    help="CSV file of all trials, a row each; what has a row is not run again (default: trials.csv "
    "beside the folder)",
  )
  parser.add_argument(
    "--trials", default="workdir/trials", help="folder of the workdirs (default: workdir/trials)"
  )
  parser.add_argument(
    "--workers", type=positive_int, default=1, help="trials at once, each on its share of the cores"
  )
  parser.add_argument("--dry_run", action="store_true", help="print what is left to run, and exit")
  parser.add_argument(
    "--topology", help="with --dry_run: slice of TPUs, such as v5e:4x8, to plan chip-hours for"
  )
  parser.add_argument(
    "--no_training", action="store_true", help="write table and figure of what is there, and exit"
  )


def run(args: argparse.Namespace) -> int:
  folder = pathlib.Path(args.study)
  study = load_study(folder)
  table = epath.Path(args.results or folder.parent / "trials.csv")
  runner = Runner(table, pathlib.Path(args.trials), args.workers, _tell)
  if args.dry_run:
    return _dry_run(study, runner, args.topology)
  if not args.no_training:
    run_study(study, runner)
  arms = arm_results(study, runner.results)
  if not arms:
    raise InputError(f"{folder} must have results: expected rows in {table}, got none of its arms.")
  draw_arms(arms, folder.name, folder / "figure.png")
  text = "\n\n".join(
    [
      results_table(study, arms),
      "![The scores of all seeds](figure.png)",
      "The choice of the learning rate, with one arm of each family and the first seed:",
      learning_rates_table(study, runner.results),
    ]
  )
  print(text)
  _write_into(folder / "README.md", text)
  return 0


def _dry_run(study: Study, runner: Runner, topology: str | None) -> int:
  trials = [*tuning_trials(study, runner.results), *arm_trials(study, runner.results)]
  left = runner.left(trials)
  hours: Sequence[Range | None] = [None] * len(left)
  if topology:
    check_compiler()
    limits = Limits(_PLAN_SECONDS, results_folder())
    hours = chip_hours(left, parse_topology(topology), limits, _tell)
  for (label, trial), of_trial in zip(left, hours, strict=True):
    cost = f", {describe_hours(of_trial)}" if topology else ""
    print(f"{trial.name} {label}{cost}: {shlex.join(trial.arguments())}")
  total = f": {describe_total(hours, topology)}" if topology else ""
  print(f"{len(left)} of {len(trials)} trials are left, or more where learning rates go on{total}")
  return 0


def _write_into(readme: pathlib.Path, text: str) -> None:
  """Replaces what stands between the two marks of a page; a page without them is left alone."""
  if not readme.exists():
    return
  page = readme.read_text()
  before, start, rest = page.partition(_START)
  _, end, after = rest.partition(_END)
  if start and end:
    readme.write_text(f"{before}{_START}\n\n{text}\n\n{_END}{after}")


def _tell(line: str) -> None:
  print(line, file=sys.stderr, flush=True)
