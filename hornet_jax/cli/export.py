"""`export` writes a run's averaged weights to one file."""

import argparse

from etils import epath

from hornet_jax.pretrained.model_io import export


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument("--workdir", required=True, help="of a trained run")
  parser.add_argument("--out", required=True, help="file to write, such as model.safetensors")
  parser.add_argument(
    "--checkpoint", default="last", help="last, best (of those kept) or a step (default: last)"
  )


def run(args: argparse.Namespace) -> int:
  export(epath.Path(args.workdir), epath.Path(args.out), args.checkpoint)
  print(f"{args.out}: `hornet_jax.load` and `hornet predict --workdir` read it")
  return 0
