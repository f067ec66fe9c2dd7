"""Finds the command, runs it and turns bad input into one line."""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

import hornet_jax
from hornet_jax.cli.failure import EXPECTED, report

# Name -> module of this package with `add_arguments(parser)` and `run(args) -> int`.
COMMANDS = {
  "train": "train a model, or go on where a run stopped",
  "evaluate": "accuracy of a trained run",
  "doctor": "check hosts, data and devices before a run",
  "predict": "classify image files with a trained run",
  "export": "write a trained run's weights to one file",
  "checkpoint": "list, verify, prune or export the checkpoints of a run",
  "convert": "a published checkpoint to a file of ours",
  "info": "the variants; stages, parameters and MACs of one",
  "plan": "does a run fit a TPU, and what does it cost, before one is rented",
  "data": "look at the data as the model sees it",
  "prepare": "build a dataset's files",
  "bench": "time what is claimed to be fast",
}


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command line; returns the exit status."""
  logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
  logging.getLogger("hornet_jax").setLevel(logging.INFO)
  _quieten_tpu_compiler()
  try:
    args = _parse(argv)
    _keep_compiled()
    return args.run(args)
  except EXPECTED as error:
    return report(error)


def _quieten_tpu_compiler() -> None:
  """Keeps libtpu, where it is installed to plan, from complaining that there is no TPU."""
  if os.environ.get("TPU_SKIP_MDS_QUERY") == "1":  # as JAX sets it where it found no chip
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-1")


def _keep_compiled() -> None:
  # Imported late: libraries that are imported before logging is set up set it up themselves.
  from hornet_jax.cli.compilation_cache import keep_compiled

  keep_compiled()


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(prog="hornet", description="HorNet in JAX.", allow_abbrev=False)
  parser.add_argument("--version", action="version", version=hornet_jax.__version__)
  commands = parser.add_subparsers(metavar="COMMAND", required=True)
  for name, summary in COMMANDS.items():
    command = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
    module = importlib.import_module(f"hornet_jax.cli.{name}")
    module.add_arguments(command)
    command.set_defaults(run=module.run)
  # What argparse does not know is left to the command: overrides such as --config.seed=1.
  args, rest = parser.parse_known_args(argv)
  if rest and not hasattr(args, "config"):
    parser.error(f"unrecognized arguments: {' '.join(rest)}")
  args.overrides = rest
  return args
