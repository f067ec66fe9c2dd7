"""`match` changes the width or depth of models until they cost what another does."""

import argparse

from tabulate import tabulate

from hornet_jax.cli.arguments import positive_int
from hornet_jax.studies.design import Design, read_design
from hornet_jax.studies.match import CHANGES, TOLERANCE, match


def add_arguments(parser: argparse.ArgumentParser) -> None:
  spec = "a model, as NAME or 'NAME:FIELDS', such as 'hornet_micro_gf:base_dim=24'"
  parser.add_argument("reference", help=f"what the others are matched to: {spec}")
  parser.add_argument("models", nargs="+", metavar="model", help="what is changed, likewise")
  parser.add_argument(
    "--by", choices=("macs", "params"), default="macs", help="what is to be equal (default: macs)"
  )
  parser.add_argument(
    "--change",
    choices=CHANGES,
    default="both",
    help="base_dim, the blocks of the longest stage, both (default), or mlp_ratio alone",
  )
  parser.add_argument(
    "--image_size", type=positive_int, help="pixels; default: the reference's own"
  )
  parser.add_argument("--num_classes", type=positive_int, default=1000, help="default: 1000")


def run(args: argparse.Namespace) -> int:
  reference = read_design(args.reference, args.image_size, args.num_classes)
  costs = reference.costs()
  rows = [_row(reference, costs, costs)]
  for text in args.models:
    design = read_design(text, reference.image_size, args.num_classes)
    found = match(design, costs[args.by], args.by, args.change).design
    rows.append(_row(found, found.costs(), costs))
  print(
    f"{args.by} within {TOLERANCE:.0%} at {reference.image_size} pixels, {args.num_classes} classes"
  )
  print(
    tabulate(rows, headers="keys", disable_numparse=True, colalign=["left"] * 2 + ["right"] * 4)
  )
  return 0


def _row(design: Design, costs: dict[str, int], of: dict[str, int]) -> dict[str, str]:
  row = {"variant": design.variant, "--config.model.fields": design.fields}
  for by, cost in costs.items():
    row |= {by: f"{cost:,}", f"{by} ratio": f"{cost / of[by]:.4f}"}
  return row
