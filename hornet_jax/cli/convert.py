"""`convert FILE`: a published checkpoint to a file that `load` reads."""

import argparse
import hashlib
import pathlib

import numpy as np
from etils import epath
from flax import traverse_util
from tabulate import tabulate

from hornet_jax.cli.arguments import positive_int
from hornet_jax.convert.checkpoint import WEIGHTS, read_checkpoint
from hornet_jax.convert.published import PUBLISHED, is_published, locate
from hornet_jax.cost.accounting import count_params
from hornet_jax.train.files import write_file
from hornet_jax.train.weights import check_file, described_checkpoint, write_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    "file",
    help="official or mmpretrain .pth, keras_cv_attention_models .h5, or one of "
    f"{', '.join(PUBLISHED)}",
  )
  parser.add_argument("--out", required=True, help="file to write, such as model.safetensors")
  parser.add_argument(
    "--weights",
    choices=WEIGHTS,
    default="raw",
    help="raw, which the official evaluation loads, or their average (default: raw)",
  )
  parser.add_argument("--image_size", type=positive_int, help="pixels; default: the model's own")
  parser.add_argument("--report", help="text file to write, with a line for every tensor")


def run(args: argparse.Namespace) -> int:
  out = epath.Path(args.out)
  check_file(out)
  path = locate(args.file) if is_published(args.file) else pathlib.Path(args.file).expanduser()
  checkpoint = read_checkpoint(path, args.weights)
  described, params = described_checkpoint(checkpoint, args.image_size)
  with path.open("rb") as file:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
  notes = {"source": path.name, "source_sha256": digest, "source_weights": args.weights}
  write_model(out, described, params, notes)
  if args.report:
    write_file(epath.Path(args.report), f"{_report(params)}\n")
  differing = ", ".join(f"{key} {value}" for key, value in checkpoint.overrides.items())
  print(f"{path.name}: {checkpoint.variant}{f' with {differing}' if differing else ''}")
  print(
    f"{count_params(params):,} parameters, {checkpoint.num_classes:,} classes, sha256 {digest[:16]}"
  )
  print(f"{out}: `hornet_jax.load`, `hornet predict --workdir` and `hornet train --init` read it")
  return 0


def _report(params: dict) -> str:
  rows = [
    [path, "x".join(map(str, leaf.shape)), f"{np.mean(leaf):.6g}", f"{np.std(leaf):.6g}"]
    for path, leaf in traverse_util.flatten_dict(params, sep="/").items()
  ]
  return tabulate(rows, headers=["tensor", "shape", "mean", "std"], disable_numparse=True)
