"""`bench` times what is claimed to be fast, and counts what only a TPU's compiler knows."""

import argparse
import csv
import io
from typing import Any

from etils import epath

from hornet_jax.bench import tpu_blocks, trade_off
from hornet_jax.bench.compile import time_starts
from hornet_jax.bench.input import compare_input
from hornet_jax.bench.laws import time_laws
from hornet_jax.bench.memory import measure_memory
from hornet_jax.bench.ops import time_ops
from hornet_jax.bench.readers import time_readers
from hornet_jax.bench.result import Result, processor
from hornet_jax.bench.step import time_steps
from hornet_jax.cli import config as config_flag
from hornet_jax.cli.arguments import positive_int
from hornet_jax.config.check import check_config
from hornet_jax.cost.hardware import CHIPS
from hornet_jax.cost.xla.compile import check_compiler
from hornet_jax.files import make_folder, write_file
from hornet_jax.report.trade_off import Panel, draw_trade_off

_IMAGENET_CLASSES, _IMAGENET_IMAGES = 1000, 1_281_167  # they shape the head and the schedule
_SMALL_STEP = ("--config.data.batch_size=4", "--config.mix.group_size=4")


def add_arguments(parser: argparse.ArgumentParser) -> None:
  benchmarks = parser.add_subparsers(metavar="BENCHMARK", required=True)

  def add(name: str, bench: Any, text: str, rounds: int = 0) -> argparse.ArgumentParser:
    benchmark = benchmarks.add_parser(name, help=text, description=text, allow_abbrev=False)
    benchmark.add_argument("--json", action="store_true", help="for programs, instead of a table")
    if rounds:
      benchmark.add_argument(
        "--rounds", type=positive_int, default=rounds, help="interleaved (default: %(default)s)"
      )
    benchmark.set_defaults(bench=bench)
    return benchmark

  step = add("step", _step, "forward pass and train step against lax's convolution", 5)
  step.add_argument("--variant", default="hornet_tiny_7x7", help="several, with commas, for TPUs")
  step.add_argument("--forward_batch", type=positive_int, default=8)
  step.add_argument("--train_batch", type=positive_int, default=4, help="images; for TPUs too")
  _add_dtype(step)
  _add_topology(step, f"counts of all blocks beside {tpu_blocks.BASELINE}'s, in bfloat16")
  ops = add("ops", _ops, "what a block is made of, by implementation", 11)
  ops.add_argument("--variant", default="hornet_tiny_gf")
  ops.add_argument("--batch", type=positive_int, default=4, help="images; for TPUs too")
  ops.add_argument("--stage", type=positive_int, default=3, help="from 1, for TPUs")
  _add_dtype(ops)
  _add_topology(ops, "counts of a block by its filter, in bfloat16")
  images = add("input", _input, "JPEGs to training views against Pillow, tf.data and timm", 7)
  images.add_argument("--images", type=positive_int, default=64)
  images.add_argument("--chips", type=positive_int, default=256, help="v5e chips to feed")
  images.add_argument("--mfu", type=float, default=0.4, help="assumed utilisation of their peak")
  readers = add("readers", _readers, "the whole input pipeline by threads and processes", 3)
  readers.add_argument("--batches", type=positive_int, default=20, help="of 64, in a round")
  models = add("tradeoff", _trade_off, "published accuracies against what models cost", 5)
  models.add_argument(
    "--models",
    required=True,
    metavar="FILE",
    help=f"CSV with the columns {', '.join(trade_off.COLUMNS)}",
  )
  models.add_argument("--out", required=True, help="folder for tradeoff.png and tradeoff.csv")
  models.add_argument("--batch", type=positive_int, default=4, help="images of a forward pass")
  models.add_argument("--tpu", choices=CHIPS, default="v5e", help="to plan for (%(default)s)")
  starts = add("compile", _compile, "how long a train step takes to be ready, by start")
  _add_config(starts)
  _add_topology(starts, "compiles for those: minutes")
  laws = add("laws", _laws, "the bootstrap of a scaling law against SciPy", 3)
  laws.add_argument("--points", type=positive_int, default=245, help="runs (default: %(default)s)")
  laws.add_argument("--samples", type=positive_int, default=4000, help="default: %(default)s")
  memory = add("memory", _memory, "memory of a train step by what is recomputed")
  _add_config(memory)


def run(args: argparse.Namespace) -> int:
  result: Result = args.bench(args)
  print(result.json() if args.json else result.table())
  return 0


def _add_dtype(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    "--dtype",
    choices=("float32", "bfloat16"),
    default="float32",
    help="of the computation (default: %(default)s)",
  )


def _add_topology(parser: argparse.ArgumentParser, what: str) -> None:
  parser.add_argument(
    "--tpu_topology",
    "--tpu-topology",
    metavar="TPU:SIDES",
    help=f"of TPUs that are not there, such as v5e:1x1 (needs libtpu): {what}",
  )


def _add_config(parser: argparse.ArgumentParser) -> None:
  config_flag.add_argument(parser, "imagenet1k:variant=tiny_7x7", "4 images of ")


def _step(args: argparse.Namespace) -> Result:
  if args.tpu_topology:
    return tpu_blocks.compare_models(args.variant.split(","), args.train_batch, args.tpu_topology)
  return time_steps(args.variant, args.forward_batch, args.train_batch, args.rounds, args.dtype)


def _ops(args: argparse.Namespace) -> Result:
  if args.tpu_topology:
    return tpu_blocks.compare_blocks(args.variant, args.stage - 1, args.batch, args.tpu_topology)
  return time_ops(args.variant, args.batch, args.rounds, args.dtype)


def _input(args: argparse.Namespace) -> Result:
  return compare_input(args.images, args.rounds, args.chips, args.mfu)


def _readers(args: argparse.Namespace) -> Result:
  return time_readers(args.batches, args.rounds)


def _trade_off(args: argparse.Namespace) -> Result:
  entries = trade_off.read_entries(epath.Path(args.models))
  out = epath.Path(args.out)
  make_folder(out)
  result = trade_off.trade_off(entries, args.batch, args.rounds, args.tpu)
  panels = (
    Panel("params", "parameters, millions", 1e6),
    Panel("macs", "MACs of an image, billions", 1e9),
    Panel(f"{args.tpu} s at peak", "chip-seconds for 1,000 images", to=f"{args.tpu} s in turn"),
    Panel("images/CPU-s", "images per CPU-second, forward"),
  )
  note = (
    "Accuracies: as published by the authors, not ours. Parameters and MACs: counted. "
    f"Chip-seconds: training on a {args.tpu} by arithmetic, from all units at their peaks at once "
    f"to one after another.\nImages per CPU-second: measured, {args.batch} images in float32 on "
    f"{processor()}, median of {args.rounds} interleaved rounds."
  )
  write_file(out / "tradeoff.png", draw_trade_off(result.rows, panels, note))
  text = io.StringIO()
  writer = csv.DictWriter(text, result.rows[0], lineterminator="\n")
  writer.writeheader()
  writer.writerows(result.rows)
  write_file(out / "tradeoff.csv", text.getvalue())
  return result


def _laws(args: argparse.Namespace) -> Result:
  return time_laws(args.points, args.samples, args.rounds)


def _compile(args: argparse.Namespace) -> Result:
  if args.tpu_topology:
    check_compiler()
  return time_starts(_config(args), _IMAGENET_CLASSES, _IMAGENET_IMAGES, args.tpu_topology)


def _memory(args: argparse.Namespace) -> Result:
  return measure_memory(_config(args), _IMAGENET_CLASSES, _IMAGENET_IMAGES)


def _config(args: argparse.Namespace) -> dict[str, Any]:
  config = config_flag.load(args.config, [*_SMALL_STEP, *args.overrides])
  check_config(config)
  return config
