"""`evaluate`: the accuracy of a run's newest checkpoint."""

import argparse
import json

from etils import epath
from tabulate import tabulate

from hornet_jax.train.checkpoint import load_params
from hornet_jax.train.experiment import Experiment
from hornet_jax.train.workdir import load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument("--workdir", required=True, help="of a trained run")
  parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
  workdir = epath.Path(args.workdir)
  experiment = Experiment(load_config(workdir))
  step, params, ema_params = load_params(workdir / "checkpoints")
  eval_step = experiment.compile_eval_step()
  results = {
    name: experiment.predict(eval_step, experiment.place(weights))
    for name, weights in (("averaged", ema_params), ("raw", params))
  }
  metrics = {name: predictions.metrics() for name, predictions in results.items()}
  if args.json:
    print(json.dumps({"step": step, "split": experiment.eval_split.name, **metrics}, indent=2))
    return 0
  rows = [
    [
      name,
      len(results[name].label),
      *(f"{100 * m[key]:.2f} %" for key in ("top1", "top5")),
      f"{m['loss']:.4f}",
    ]
    for name, m in metrics.items()
  ]
  print(f"{experiment.eval_split.name} at step {step:,}")
  print(tabulate(rows, headers=["weights", "images", "top-1", "top-5", "loss"]))
  return 0
