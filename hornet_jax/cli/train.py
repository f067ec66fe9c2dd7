"""`train`: the whole job, from the data to the report."""

import argparse
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
from hornet_jax.data.datasets import DATASETS, check_prepared, find_prepared
from hornet_jax.data.prepare import prepare
from hornet_jax.errors import InputError
from hornet_jax.paths import absolute
from hornet_jax.train.agreement import check_agreement
from hornet_jax.train.loop import train
from hornet_jax.train.report import write_report
from hornet_jax.train.roll_call import RollCall
from hornet_jax.versions import versions

_INTERRUPTED = 130  # as a shell reports an end by Ctrl-C


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
  hosts.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
  with hosts.joined(args, saves=True) as roll_call:
    return _run(args, roll_call)


def _run(args: argparse.Namespace, roll_call: RollCall | None) -> int:
  if args.init == "":
    raise InputError("--init must name a workdir or a file: got nothing.")
  init = [f"--config.init.checkpoint={args.init}"] if args.init else []
  config = config_flag.load(args.config, [*args.overrides, *init])
  name = pathlib.Path(args.config.partition(":")[0]).stem
  workdir = epath.Path(args.workdir or f"workdir/{name}-{config['model']['variant']}")

  is_first = jax.process_index() == 0
  if is_first:
    _prepare(config["data"]["dataset"], config["data"]["data_dir"])
  if roll_call:
    check_agreement(roll_call, "versions", versions())
    check_agreement(roll_call, "configs", config)
    if not is_first:  # on a disk of its own
      _prepare(config["data"]["dataset"], config["data"]["data_dir"])

  outcome = train(config, workdir)
  if not outcome.complete:
    if is_first:
      print(
        f"stopped after step {outcome.step} of {outcome.experiment.total_steps}; the same command "
        f"goes on from there: {command_line()}"
      )
    return _INTERRUPTED if outcome.interrupted else 0
  if not is_first:
    return 0
  path = workdir / "report.html"
  if outcome.updated or not path.exists():
    write_report(outcome, path, command_line())
  print(_table(outcome))
  print(f"report: {absolute(path)}")
  return 0


def _prepare(dataset: str, data_dir: str) -> None:
  if dataset not in DATASETS:
    check_prepared(dataset, data_dir)
  elif find_prepared(dataset, data_dir) is None:
    print(f"preparing {dataset} ...", file=sys.stderr)
    prepare(dataset, data_dir)


def _table(outcome) -> str:
  last = outcome.metrics
  speeds = [r["train/images_per_second"] for r in outcome.records if "train/loss" in r]
  rows = [
    ["accuracy, averaged weights", f"{100 * last['eval_ema/top1']:.2f} %"],
    ["accuracy, raw weights", f"{100 * last['eval/top1']:.2f} %"],
    ["loss, averaged weights", f"{last['eval_ema/loss']:.4f}"],
    ["images evaluated", f"{len(outcome.predictions.label):,}"],
    ["steps", f"{outcome.step:,}"],
    ["time", f"{outcome.seconds:.0f} s"],
    ["training speed, median", f"{statistics.median(speeds or [math.nan]):.0f} images/s"],
  ]
  return tabulate(rows, tablefmt="simple", disable_numparse=True)
