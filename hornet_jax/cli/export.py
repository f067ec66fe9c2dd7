"""`export` writes a run's averaged weights to one file."""

import argparse

from etils import epath

from hornet_jax.pretrained.model_io import OFFICIAL_SUFFIX, export
from hornet_jax.pretrained.spec import readers


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    "--workdir", required=True, help="folder of a trained run, or a file or name of weights"
  )
  parser.add_argument(
    "--out",
    required=True,
    help="file to write, such as model.safetensors; model.pth for PyTorch, by the names of the "
    "official code, or of mmseg or mmdet where the model has their heads",
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
    print(f"{file}: {readers(task)} read it")
  return 0
