"""`evaluate`: the accuracy of a run's checkpoint, on its own data or on the suite."""

import argparse
import json
from collections.abc import Mapping

import jax
from etils import epath
from tabulate import tabulate

from hornet_jax.cli import hosts, suite
from hornet_jax.errors import InputError
from hornet_jax.train.checkpoint import load_params
from hornet_jax.train.experiment import Experiment
from hornet_jax.train.workdir import check_dataset, load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    "--workdir", required=True, help="of a trained run; with --suite also a file or a name"
  )
  parser.add_argument(
    "--checkpoint", default="last", help="last, best (of those kept) or a step (default: last)"
  )
  parser.add_argument("--json", action="store_true", help="for programs")
  suite.add_arguments(parser)
  hosts.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
  with hosts.joined(args):
    return suite.run(args) if args.suite else _run(args)


def _run(args: argparse.Namespace) -> int:
  foreign = [f"--{flag}" for flag in suite.FLAGS if getattr(args, flag) is not None]
  if foreign:
    raise InputError(f"{', '.join(foreign)} must come with --suite: it is missing.")
  workdir = epath.Path(args.workdir)
  experiment = Experiment(load_config(workdir))
  check_dataset(experiment.train_split, workdir)
  step, params, ema_params = load_params(workdir / "checkpoints", args.checkpoint)
  eval_step = experiment.compile_eval_step()
  metrics, rows = {}, []
  weights = {"ema": experiment.place(ema_params), "raw": experiment.place(params)}
  for split in (experiment.eval_split, *experiment.other_eval_splits):
    of_split = {}
    of_weights = experiment.predict(eval_step, list(weights.values()), split)
    for name, predictions in zip(weights, of_weights, strict=True):
      of_split[name] = predictions.metrics()
      rows.append([split.name, name, len(predictions.label), *_formatted(of_split[name])])
    metrics[split.name] = of_split
  if jax.process_index() > 0:
    return 0
  if args.json:
    first, *others = metrics
    also = {"also": {name: metrics[name] for name in others}} if others else {}
    print(json.dumps({"step": step, "split": first, **metrics[first], **also}, indent=2))
  else:
    print(f"step {step:,}")
    print(tabulate(rows, headers=["split", "weights", "images", "top-1", "top-5", "loss"]))
  return 0


def _formatted(metrics: Mapping[str, float]) -> list[str]:
  return [*(f"{100 * metrics[key]:.2f} %" for key in ("top1", "top5")), f"{metrics['loss']:.4f}"]
