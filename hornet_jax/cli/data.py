"""`data show` writes a page with training batches as the model sees them."""

import argparse

from etils import epath

from hornet_jax.cli import config as config_flag
from hornet_jax.cli.arguments import command_line, positive_int
from hornet_jax.files import make_folder, write_file
from hornet_jax.paths import absolute
from hornet_jax.train.show_batches import show_batches


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument("action", choices=["show"], help="show: write a page of training batches")
  config_flag.add_argument(parser)
  parser.add_argument("--out", default="batches.html", help="page to write (default: %(default)s)")
  parser.add_argument("--batches", type=positive_int, default=2, help="default: %(default)s")
  parser.add_argument("--rows", type=positive_int, default=32, help="default: %(default)s")


def run(args: argparse.Namespace) -> int:
  config = config_flag.load(args.config, args.overrides)
  path = epath.Path(args.out)
  make_folder(path.parent)
  page = show_batches(config, command_line(), num_batches=args.batches, num_rows=args.rows)
  write_file(path, page)
  print(f"batches: {absolute(path)}")
  return 0
