"""`sweep` trains the trials of a scaling study with many workers, and writes their table."""

import argparse
import contextlib
import pathlib
import shlex
import sys
import time
from collections.abc import Iterator, Sequence

from etils import epath
from tabulate import tabulate

from hornet_jax.cli.arguments import positive_int
from hornet_jax.cost.hardware import parse_topology
from hornet_jax.cost.plan import Limits
from hornet_jax.cost.xla.compile import check_compiler, results_folder
from hornet_jax.errors import InputError
from hornet_jax.exit_status import COMPLETE, PERSON
from hornet_jax.files import write_file
from hornet_jax.paths import absolute
from hornet_jax.studies.price import chip_hours, describe_hours, describe_total
from hornet_jax.sweeps.queue import AFTER, Queue
from hornet_jax.sweeps.results import results_csv
from hornet_jax.sweeps.status import Status, describe_status, read_status
from hornet_jax.sweeps.sweep import load_sweep
from hornet_jax.sweeps.sweep_trial import SweepTrial
from hornet_jax.sweeps.worker import (
  ARM,
  BRANCH_STEP,
  CONFIG,
  FLOPS,
  LABEL,
  OVERRIDES,
  Trainer,
  work,
)
from hornet_jax.sweeps.workers import run_workers, stopped_by_signals
from hornet_jax.wording import counted

_PLAN_SECONDS = 1800.0  # for one program
_CLEARED = "\x1b[H\x1b[J"  # terminal, from its top left corner on


def add_arguments(parser: argparse.ArgumentParser) -> None:
  actions = parser.add_subparsers(metavar="ACTION", required=True)
  running = _add_action(actions, "run", "train what is left, with workers here and elsewhere", _run)
  running.add_argument(
    "--workers",
    type=positive_int,
    default=1,
    help="trials at once here, each on its share of cores",
  )
  running.add_argument(
    "--launcher",
    help="words of a command that runs `train ...` on all hosts of a slice, such as "
    '"srun --ntasks=4 hornet" (default: one process on this machine)',
  )
  running.add_argument("--again", action="store_true", help="try trials that failed once more")
  running.add_argument(
    "--dry_run", action="store_true", help="print the trials and what they cost, and exit"
  )
  running.add_argument(
    "--topology", help="with --dry_run: slice of TPUs, such as v5e:2x4, to plan chip-hours for"
  )
  status = _add_action(actions, "status", "what is done, what runs, and the time left", _status)
  status.add_argument(
    "--every", type=positive_int, metavar="SECONDS", help="show it anew until nothing is left"
  )
  results = _add_action(actions, "results", "one table of all complete trials, as CSV", _results)
  results.add_argument("--out", help="file (default: print it)")


def _add_action(actions, name: str, summary: str, action) -> argparse.ArgumentParser:
  parser = actions.add_parser(name, help=summary, description=summary, allow_abbrev=False)
  parser.add_argument("sweep", help="folder with a sweep.py, such as experiments/scaling")
  parser.add_argument(
    "--storage",
    help="database of the queue: sqlite:///FILE on one machine, else "
    "postgresql+psycopg://USER@HOST/NAME (default: sqlite:///TRIALS/NAME.db)",
  )
  parser.add_argument(
    "--trials",
    default="workdir/trials",
    help="folder of the workdirs, which all workers reach; may be gs:// (default: %(default)s)",
  )
  parser.set_defaults(action=action)
  return parser


def run(args: argparse.Namespace) -> int:
  return args.action(args)


def _run(args: argparse.Namespace) -> int:
  trials = load_sweep(pathlib.Path(args.sweep)).trials()
  if args.dry_run:
    return _dry_run(trials, args.topology)
  workdirs, launcher = epath.Path(args.trials), shlex.split(args.launcher or "")
  with _opened(args) as queue:
    added = queue.add({trial.trial.name: _attributes(trial) for trial in trials}, again=args.again)
    _tell(f"{counted(len(trials), 'trial')}, {added} of them new in the queue")
    with stopped_by_signals() as stopping:

      def worker() -> None:
        with _opened(args) as own:
          train = Trainer(workdirs, _logs(args), stopping, _tell, launcher)
          work(own, train, stopping, may_begin=train.may_begin)

      run_workers(args.workers, worker, stopping)
    return _show(read_status(queue, workdirs))


def _dry_run(trials: Sequence[SweepTrial], topology: str | None) -> int:
  has_branches = any(trial.trunk for trial in trials)
  rows = [
    {
      "trial": trial.trial.name,
      "what": trial.label,
      "parameters": f"{trial.cost.model.params:,}",
      "MACs": f"{trial.cost.model.macs:,}",
      "images seen": f"{trial.cost.images_seen:,}",
      "unique": f"{trial.cost.unique_images:,}",
      "FLOPs": f"{trial.cost.flops:.3g}",
      **(_of_branch(trial) if has_branches else {}),
    }
    for trial in trials
  ]
  flops = sum(trial.spent_flops for trial in trials)
  total = f"{counted(len(trials), 'trial')}, {flops:.3g} FLOPs"
  if has_branches:
    whole = sum(trial.cost.flops for trial in trials)
    total += f" to spend in place of {whole:.3g}, {1 - flops / whole:.0%} less, by branches"
  if topology:
    check_compiler()
    limits = Limits(_PLAN_SECONDS, results_folder())
    labelled = [(trial.label, trial.trial) for trial in trials]
    whole_hours = chip_hours(labelled, parse_topology(topology), limits, _tell)
    hours = [
      of_trial and of_trial.times(trial.spent_flops / trial.cost.flops)
      for of_trial, trial in zip(whole_hours, trials, strict=True)
    ]
    for row, of_trial in zip(rows, hours, strict=True):
      row["chip-hours"] = describe_hours(of_trial).removesuffix(" chip-hours")
    total += f", {describe_total(hours, topology)}"
  print(tabulate(rows, headers="keys", disable_numparse=True, colalign=_alignment(rows)))
  print(f"{total}; parameters without the head")
  return COMPLETE


def _of_branch(trial: SweepTrial) -> dict[str, str]:
  """Tells with what a trial begins, and what is spent on it alone."""
  begins = f"{trial.trunk.trunk} at step {trial.trunk.step:,}" if trial.trunk else ""
  return {"to spend": f"{trial.spent_flops:.3g}", "branches off": begins}


def _alignment(rows: Sequence[dict[str, str]]) -> list[str]:
  texts = ("trial", "what", "branches off")
  return ["left" if name in texts else "right" for name in rows[0]] if rows else []


def _status(args: argparse.Namespace) -> int:
  with _opened(args, must_exist=True) as queue:
    while True:
      status = read_status(queue, epath.Path(args.trials))
      if args.every and sys.stdout.isatty():
        print(_CLEARED, end="")
      exit_status = _show(status)
      if not args.every or status.is_over:
        return exit_status
      time.sleep(args.every)


def _show(status: Status) -> int:
  print(describe_status(status), flush=True)
  return PERSON if status.has_failed else COMPLETE


def _results(args: argparse.Namespace) -> int:
  with _opened(args, must_exist=True) as queue:
    text = results_csv(queue)
  if not args.out:
    print(text, end="")
    return COMPLETE
  write_file(epath.Path(args.out), text)
  _tell(f"{counted(len(text.splitlines()) - 1, 'trial')} in {args.out}")
  return COMPLETE


@contextlib.contextmanager
def _opened(args: argparse.Namespace, *, must_exist: bool = False) -> Iterator[Queue]:
  name = absolute(args.sweep).name
  storage = args.storage or f"sqlite:///{_logs(args) / f'{name}.db'}"
  with contextlib.closing(Queue(storage, name, must_exist=must_exist)) as queue:
    yield queue


def _logs(args: argparse.Namespace) -> pathlib.Path:
  """Returns the folder of what stays on this machine."""
  is_remote = "://" in args.trials
  if is_remote and not args.storage:
    raise InputError(
      f"--storage must be a database server where the workdirs are in {args.trials}: got none. "
      "Hint: a file of SQLite is for the workers of one machine."
    )
  return pathlib.Path("workdir/trials" if is_remote else args.trials)


def _attributes(trial: SweepTrial) -> dict[str, object]:
  return {
    CONFIG: trial.trial.config,
    OVERRIDES: dict(trial.trial.overrides),
    LABEL: trial.label,
    ARM: trial.arm,
    FLOPS: trial.spent_flops,
    **({AFTER: trial.trunk.trunk, BRANCH_STEP: trial.trunk.step} if trial.trunk else {}),
  }


def _tell(line: str) -> None:
  print(line, file=sys.stderr, flush=True)
