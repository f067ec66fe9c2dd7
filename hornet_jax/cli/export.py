"""`export` writes a run's averaged weights to one file."""

import argparse

from etils import epath

from hornet_jax.pretrained.model_io import OFFICIAL_SUFFIX, export


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    "--workdir", required=True, help="folder of a trained run, or a file or name of weights"
  )
  parser.add_argument(
    "--out",
    required=True,
    help="file to write, such as model.safetensors; model.pth for PyTorch, by the names of the "
    "official code, and of mmseg for segmentation",
  )
  parser.add_argument(
    "--checkpoint", default="last", help="last, best (of those kept) or a step (default: last)"
  )


def run(args: argparse.Namespace) -> int:
  file = epath.Path(args.out)
  task = export(args.workdir, file, args.checkpoint)
  if file.suffix == OFFICIAL_SUFFIX:
    print(f"{file}: `torch.load` reads it")
  else:
    loads = "`hornet_jax.load`, " if task == "classification" else ""
    print(f"{file}: {loads}`hornet predict --workdir` and `hornet train --init` read it")
  return 0
