"""`bench`: times what is claimed to be fast."""

import argparse
import statistics

import jax
from tabulate import tabulate

from hornet_jax.bench.depthwise import time_forward
from hornet_jax.bench.rounds import ratio
from hornet_jax.cli.arguments import positive_int
from hornet_jax.versions import versions


def add_arguments(parser: argparse.ArgumentParser) -> None:
  benchmarks = parser.add_subparsers(metavar="BENCHMARK", required=True)
  depthwise = benchmarks.add_parser(
    "depthwise", help="a HorNet's forward pass against the same with lax's grouped convolution"
  )
  depthwise.add_argument("--variant", default="hornet_tiny_7x7")
  depthwise.add_argument("--batch_size", type=positive_int, default=8)
  depthwise.add_argument("--rounds", type=positive_int, default=5)


def run(args: argparse.Namespace) -> int:
  seconds = time_forward(args.variant, args.batch_size, args.rounds)
  rows = [
    [name, *(f"{summary(times):.3f}" for summary in (statistics.median, min, max))]
    for name, times in seconds.items()
  ]
  for row, times in zip(rows, seconds.values(), strict=True):
    row.append(f"{ratio(seconds['grouped'], times):.2f}")
  device = jax.devices()[0]
  print(f"{args.variant}, forward, float32, batch {args.batch_size}, {device.device_kind}")
  headers = ["depthwise", "median s", "min s", "max s", "speed-up"]
  print(tabulate(rows, headers=headers, disable_numparse=True))
  print(", ".join(f"{name} {version}" for name, version in versions().items()))
  return 0
