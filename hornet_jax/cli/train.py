"""`train` does the whole job, from the data to the report."""

import argparse
import functools
import math
import pathlib
import statistics
import sys

import jax
from etils import epath
from tabulate import tabulate

from hornet_jax.cli import config as config_flag
from hornet_jax.cli import hosts
from hornet_jax.cli.arguments import command_line
from hornet_jax.cli.failure import tell
from hornet_jax.config.flat import flatten
from hornet_jax.data.catalogue import DATASETS
from hornet_jax.data.datasets import check_prepared, find_prepared
from hornet_jax.data.preparing.prepare import prepare
from hornet_jax.errors import InputError
from hornet_jax.exit_status import COMPLETE
from hornet_jax.files import exists
from hornet_jax.parallel.assert_same import assert_same
from hornet_jax.parallel.rendezvous import Rendezvous
from hornet_jax.paths import absolute
from hornet_jax.runs.clock import process_start
from hornet_jax.train.loop_result import Outcome
from hornet_jax.train.ranking import EVAL, EVAL_EMA
from hornet_jax.train.report import write_report
from hornet_jax.train.run import train
from hornet_jax.versions import versions


def add_arguments(parser: argparse.ArgumentParser) -> None:
  config_flag.add_argument(parser)
  parser.add_argument(
    "--workdir", help="local or gs:// folder of the run (default: workdir/CONFIG-VARIANT)"
  )

  parser.add_argument(
    "--init",
    metavar="PATH",
    help="what to start from: workdir of a run, file of `export` or `convert`, published .pth or "
    ".h5, or a name such as official:hornet_tiny_gf: --config.init.checkpoint=PATH",
  )
  parser.add_argument(
    "--branch_from",
    metavar="WORKDIR",
    help="run with optimizer.schedule warmup_stable_decay and more epochs, whose checkpoint a new "
    "run begins with where its own cool-down does",
  )
  hosts.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
  with hosts.joined(args, saves=True) as rendezvous:
    return _run(args, rendezvous)


def _run(args: argparse.Namespace, rendezvous: Rendezvous | None) -> int:
  if args.init == "":
    raise InputError("--init must name a workdir or a file: got nothing.")
  init = [f"--config.init.checkpoint={args.init}"] if args.init else []
  config = config_flag.load(args.config, [*args.overrides, *init])
  name = pathlib.Path(args.config.partition(":")[0]).stem
  workdir = epath.Path(args.workdir or f"workdir/{name}-{config['model']['variant']}")

  is_first = jax.process_index() == 0
  if is_first:
    _prepare(config["data"]["dataset"], config["data"]["data_dir"])
  if rendezvous:
    assert_same(rendezvous, "versions", versions())
    assert_same(rendezvous, "configs", flatten(config))
    assert_same(rendezvous, "workdirs", {"workdir": str(absolute(workdir))})
    if not is_first:  # on a disk of its own
      _prepare(config["data"]["dataset"], config["data"]["data_dir"])

  report = workdir / "report.html"

  def write_page(outcome: Outcome) -> None:
    if is_first and (outcome.updated or not exists(report)):
      write_report(outcome, report, command_line())

  outcome = train(
    config,
    workdir,
    on_complete=write_page,
    on_error=functools.partial(hosts.await_reason, rendezvous) if rendezvous else None,
    began=process_start(),
    branch_from=epath.Path(args.branch_from) if args.branch_from else None,
  )
  if not is_first:
    return outcome.exit_status
  if not outcome.complete:
    tell(
      f"stopped after step {outcome.step} of {outcome.trainer.total_steps}; the same command "
      f"goes on from there: {command_line()}"
    )
    return outcome.exit_status
  tell(_table(outcome))
  tell(f"report: {absolute(report)}")
  tell(
    f"curves: tensorboard --logdir={absolute(workdir) / 'tensorboard'} (pip install tensorboard)"
  )
  return COMPLETE


def _prepare(dataset: str, data_dir: str) -> None:
  if dataset not in DATASETS:
    check_prepared(dataset, data_dir)
  elif find_prepared(dataset, data_dir) is None:
    print(f"preparing {dataset} ...", file=sys.stderr)
    prepare(dataset, data_dir)


def _table(outcome) -> str:
  last, primary = outcome.metrics, outcome.trainer.task.scores[0]
  loss = last.get(f"{EVAL_EMA}/loss")
  speeds = [r["train/images_per_second"] for r in outcome.records if "train/loss" in r]
  weights = {EVAL: ""}
  if outcome.trainer.step_settings().averages:
    weights = {EVAL_EMA: ", averaged weights", EVAL: ", raw weights"}
  averaged = next(iter(weights.values()))
  rows = [
    *([f"{primary.meaning}{which}", primary.text(last, key)] for key, which in weights.items()),
    *([[f"loss{averaged}", f"{loss:.4f}"]] if loss is not None else []),
    ["images evaluated", f"{outcome.metric.count:,}"],
    ["steps", f"{outcome.step:,}"],
    ["time", f"{outcome.seconds:.0f} s"],
    ["training speed, median", f"{statistics.median(speeds or [math.nan]):.0f} images/s"],
  ]
  return tabulate(rows, tablefmt="simple", disable_numparse=True)
