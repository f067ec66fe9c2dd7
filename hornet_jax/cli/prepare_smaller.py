"""`prepare smaller` makes a copy of a prepared dataset whose images are smaller."""

import argparse

from etils import epath

from hornet_jax.data.datasets import check_prepared
from hornet_jax.data.preparing.prepare import prepare_smaller
from hornet_jax.errors import InputError
from hornet_jax.paths import file_size

QUALITY = 90
"""The quality of the JPEGs, where none is given."""


def run_smaller(args: argparse.Namespace) -> int:
  """Runs the command; its flags are those of `prepare`."""
  if not args.name or not args.short_side:
    raise InputError(
      "`prepare smaller` needs --name, of a prepared dataset, and --short_side, in pixels."
    )
  quality = args.quality or QUALITY
  if quality > 100:
    raise InputError(f"--quality must be 1 to 100: got {quality}.")
  path = prepare_smaller(args.name, args.short_side, quality, args.data_dir)
  sizes = [_gigabytes(folder) for folder in (check_prepared(args.name, args.data_dir), path)]
  print(f"{args.name}: {sizes[0]:.3g} GB, {path.parent.name}: {sizes[1]:.3g} GB")
  print(f"in {path}; to train on it: --config.data.dataset={path.parent.name}")
  return 0


def _gigabytes(folder: epath.Path) -> float:
  return sum(file_size(file) for file in folder.iterdir()) / 1e9
