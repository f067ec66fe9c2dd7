"""`bench`: times what is claimed to be fast."""

import argparse
import os
import statistics

import jax
from tabulate import tabulate

from hornet_jax.bench.input import REFERENCE, REFERENCE_RAND_AUGMENT, SIZE, time_input
from hornet_jax.bench.readers import time_readers
from hornet_jax.bench.rounds import ratio
from hornet_jax.bench.step import BASELINE, time_steps
from hornet_jax.cli.arguments import positive_int
from hornet_jax.cost import PEAK_FLOPS, peak_training_rate
from hornet_jax.models import create_model
from hornet_jax.versions import versions

_READERS = [(1, 0), (2, 0), (4, 0), (1, 1), (1, 2), (2, 2)]  # threads and processes
_V5E = "TPU v5 lite"


def add_arguments(parser: argparse.ArgumentParser) -> None:
  benchmarks = parser.add_subparsers(metavar="BENCHMARK", required=True)
  step = benchmarks.add_parser(
    "step", help="forward pass and train step of a HorNet against the same with lax's convolution"
  )
  step.add_argument("--variant", default="hornet_tiny_7x7")
  step.add_argument("--forward_batch", type=positive_int, default=8)
  step.add_argument("--train_batch", type=positive_int, default=4)
  step.add_argument("--rounds", type=positive_int, default=5)
  step.set_defaults(bench=_step)
  images = benchmarks.add_parser(
    "input", help="JPEGs to training views against Pillow, tf.data and, if installed, timm"
  )
  images.add_argument("--images", type=positive_int, default=64)
  images.add_argument("--rounds", type=positive_int, default=7)
  images.add_argument("--chips", type=positive_int, default=256, help="v5e chips to feed")
  images.add_argument("--mfu", type=float, default=0.4, help="assumed utilisation of their peak")
  images.set_defaults(bench=_input)
  readers = benchmarks.add_parser(
    "readers", help="the whole input pipeline by the number of threads and processes"
  )
  readers.add_argument("--batches", type=positive_int, default=20, help="of 64, in a round")
  readers.add_argument("--rounds", type=positive_int, default=3)
  readers.set_defaults(bench=_readers)


def run(args: argparse.Namespace) -> int:
  args.bench(args)
  print(", ".join(f"{name} {version}" for name, version in versions().items()))
  return 0


def _step(args: argparse.Namespace) -> None:
  timed = time_steps(args.variant, args.forward_batch, args.train_batch, args.rounds)
  rows = [
    [
      of,
      implementation,
      *(f"{summary(times):.3f}" for summary in (statistics.median, min, max)),
      f"{ratio(seconds[BASELINE], times):.2f}",
    ]
    for of, seconds in timed.items()
    for implementation, times in seconds.items()
  ]
  print(f"{args.variant}, float32, {jax.devices()[0].device_kind}")
  headers = ["of", "depthwise", "median s", "min s", "max s", "speed-up"]
  print(tabulate(rows, headers=headers, disable_numparse=True))


def _input(args: argparse.Namespace) -> None:
  timed = time_input(args.images, args.rounds)
  rows = []
  for name, one in timed.items():
    reference = REFERENCE_RAND_AUGMENT if "RandAugment" in name else REFERENCE
    rows.append(
      [
        name,
        *(f"{summary(one.rates):.0f}" for summary in (statistics.median, min, max)),
        f"{ratio(one.rates, timed[reference].rates):.2f}",
        "" if one.difference is None else f"{one.difference:.2f}",
      ]
    )
  print(f"JPEGs of 500x375 to training views of {SIZE}, images per CPU-second of one core")
  headers = ["views", "median", "min", "max", "to Pillow", "mean pixel difference"]
  print(tabulate(rows, headers=headers, disable_numparse=True))
  print(_cores(args.chips, args.mfu, statistics.median(timed["ours, RandAugment"].rates)))


def _readers(args: argparse.Namespace) -> None:
  rates = time_readers(_READERS, args.batches, args.rounds)
  rows = [
    [threads, processes or "none", *(f"{f(of):.0f}" for f in (statistics.median, min, max))]
    for (threads, processes), of in rates.items()
  ]
  print(f"batches of training views of {SIZE} with RandAugment, images/s, {os.cpu_count()} cores")
  print(tabulate(rows, headers=["threads", "processes", "median", "min", "max"]))


def _cores(chips: int, mfu: float, rate: float) -> str:
  """How many cores keep the chips busy."""
  peak_rate = peak_training_rate(create_model("hornet_tiny_7x7"), SIZE, _V5E, chips)
  assert peak_rate is not None, "it is in the table"
  wanted = mfu * peak_rate
  return (
    f"hornet_tiny_7x7 on {chips} v5e chips of {PEAK_FLOPS[_V5E] / 1e12:.0f} bf16 TFLOP/s at an "
    f"assumed MFU of {mfu:g} takes {wanted:,.0f} images/s: {wanted / rate:,.0f} cores like this "
    f"one, {wanted / rate / chips:.1f} a chip"
  )
