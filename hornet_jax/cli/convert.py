"""`convert FILE` writes a published checkpoint as a file that `load` reads."""

import argparse
import hashlib
import pathlib

import numpy as np
from etils import epath
from flax import traverse_util
from tabulate import tabulate

from hornet_jax.cli.arguments import positive_int
from hornet_jax.convert.checkpoint import WEIGHTS, read_checkpoint
from hornet_jax.convert.converted import Converted, in_words
from hornet_jax.convert.published import PUBLISHED, is_published, locate, variant_of
from hornet_jax.cost.count import count_params
from hornet_jax.errors import InputError, MismatchError
from hornet_jax.files import write_file
from hornet_jax.paths import expanded
from hornet_jax.pretrained.spec import readers
from hornet_jax.pretrained.weights_file import check_file, weights_of_checkpoint, write_model
from hornet_jax.wording import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    "file",
    help="official, mmpretrain, mmseg or mmdet .pth, keras_cv_attention_models .h5, timm's "
    "model.safetensors, timm:NAME for the model of that name on its hub, or one of "
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
  parser.add_argument(
    "--any_architecture",
    action="store_true",
    help="take a file of another architecture than the published ones, or without a head",
  )
  parser.add_argument(
    "--report",
    help="text file to write, with a line for every tensor: what became what; or, where the file "
    "does not fit, with everything that does not",
  )


def run(args: argparse.Namespace) -> int:
  out = epath.Path(args.out)
  check_file(out)
  published = is_published(args.file)
  if published and args.any_architecture:
    raise InputError(
      f"--any_architecture is for files: {args.file} must hold the model of its name. Hint: leave "
      "one of them out."
    )
  path = locate(args.file) if published else pathlib.Path(expanded(args.file, "the file"))
  try:
    checkpoint = read_checkpoint(
      path,
      args.weights,
      variant=variant_of(args.file) if published else None,
      any_architecture=args.any_architecture,
    )
  except MismatchError as error:
    if args.report:
      write_file(epath.Path(args.report), "".join(f"{line}\n" for line in error.problems))
    raise
  weights = weights_of_checkpoint(checkpoint, args.image_size)
  with path.open("rb") as file:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
  notes = {"source": path.name, "source_sha256": digest, "source_weights": args.weights}
  write_model(out, weights.spec, weights.params, notes, weights.state)
  if args.report:
    write_file(epath.Path(args.report), f"{_report(checkpoint)}\n")
  print(f"{path.name}: {_found(checkpoint)}")
  classes = f", {counted(checkpoint.num_classes, 'class')}" if checkpoint.task else ""
  print(f"{count_params(checkpoint.params):,} parameters{classes}, sha256 {digest[:16]}")
  print(f"{out}: {readers(checkpoint.task)} read it")
  return 0


def _found(checkpoint: Converted) -> str:
  """Says what a file holds."""
  model = in_words(checkpoint.variant, checkpoint.overrides)
  if not checkpoint.task:
    return f"the backbone {model}, and the norms of its levels"
  if not checkpoint.settings:
    return model
  settings = ", ".join(f"{key} {value}" for key, value in checkpoint.settings.items())
  return f"{checkpoint.task}, {model}; {settings}"


def _report(checkpoint: Converted) -> str:
  rows = [
    [
      checkpoint.sources[path],
      path,
      "x".join(map(str, leaf.shape)),
      f"{np.mean(leaf):.6g}",
      f"{np.std(leaf):.6g}",
    ]
    for tree in (checkpoint.params, checkpoint.state)
    for path, leaf in traverse_util.flatten_dict(tree, sep="/").items()
  ]
  headers = ["in the file", "here", "shape", "mean", "std"]
  return tabulate(rows, headers=headers, disable_numparse=True)
