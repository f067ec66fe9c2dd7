"""`info` lists the variants, or describes one of them or a config."""

import argparse
import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from tabulate import tabulate

from hornet_jax.cli import config as config_flag
from hornet_jax.cli.arguments import positive_int
from hornet_jax.cli.info_config import describe_config
from hornet_jax.config.build import build_model
from hornet_jax.cost.model_work import stage_costs
from hornet_jax.errors import InputError
from hornet_jax.models import VARIANTS, Architecture, create_model, get_variant
from hornet_jax.models.stacking import any_block
from hornet_jax.parallel.sharding import placements
from hornet_jax.wording import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument("variant", nargs="?", help="omit to list all variants")
  parser.add_argument("--image_size", type=positive_int, help="pixels; default: the variant's own")
  parser.add_argument("--num_classes", type=positive_int, default=1000)
  parser.add_argument("--json", action="store_true", help="for programs")
  config_flag.add_argument(parser, None, "its keys, steps and the official run: ")
  parser.add_argument(
    "--fsdp", type=positive_int, help="where the parameters of --config or VARIANT lie, cut so"
  )


def run(args: argparse.Namespace) -> int:
  if args.config and (args.variant or args.image_size):
    raise InputError("`info` takes a variant or --config: got both.")
  if args.fsdp:
    print(_placement_table(*_described_model(args), args.fsdp))
    return 0
  if args.config:
    print(describe_config(config_flag.load(args.config, args.overrides), args.json))
    return 0
  if args.overrides and not args.imports:
    raise InputError(f"unrecognized arguments: {' '.join(args.overrides)}.")
  names = [args.variant] if args.variant else list(VARIANTS)
  infos = (_describe(name, args.image_size, args.num_classes) for name in names)
  if args.json:
    print(json.dumps(next(infos) if args.variant else list(infos), indent=2))
  elif args.variant:
    print(_stage_table(next(infos)))
  else:
    _print_rows(infos)
  return 0


def _print_rows(infos: Iterable[Mapping[str, Any]]) -> None:
  """Prints a line for each model as soon as it is counted, which takes a fraction of a second."""
  widths = {"variant": max(map(len, VARIANTS)), "origin": 6, "image_size": 10}
  widths |= {"params": len("200,000,000"), "macs": len("200,000,000,000")}
  is_text = {"variant", "origin"}

  def line(cells: Mapping[str, Any]) -> str:
    aligned = []
    for key, width in widths.items():
      cell = f"{cells[key]:,}" if isinstance(cells[key], int) else cells[key]
      aligned.append(f"{cell:{'<' if key in is_text else '>'}{width}}")
    return "  ".join(aligned)

  print(line({key: key for key in widths}))
  print("  ".join("-" * width for width in widths.values()))
  for info in infos:
    print(line(info), flush=True)


def _described_model(args: argparse.Namespace) -> tuple[str, Architecture, Any]:
  """Gives the model's name, the model, and its abstract parameters."""
  if args.config:
    config = config_flag.load(args.config, args.overrides)
    name, size = config["model"]["variant"], config["data"]["image_size"]
    channels = config["data"]["channels"]
    model = build_model(config["model"], config["data"], args.num_classes)
  elif args.variant:
    name, size = args.variant, args.image_size or get_variant(args.variant).image_size
    model, channels = create_model(name, num_classes=args.num_classes), 3
  else:
    raise InputError("--fsdp must come with a model: expected VARIANT or --config, got none.")
  images = jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)
  return name, model, jax.eval_shape(model.init, jax.random.key(0), images)["params"]


def _placement_table(name: str, model: Architecture, params: Any, fsdp: int) -> str:
  """Tabulates how parameters lie on the devices, whole or cut; equal blocks share a row."""
  rows: dict[tuple[str, ...], list[int]] = {}
  for placed in placements(model.param_info, params, fsdp):
    path = any_block(placed.path)
    spec = (
      "whole" if placed.spec == PartitionSpec() else f"{placed.spec}".replace("PartitionSpec", "")
    )
    row = rows.setdefault((path, "x".join(map(str, placed.shape)), spec), [0, 0])
    row[0] += 1
    row[1] += placed.bytes_a_device
  total = sum(size for _, size in rows.values())
  whole = sum(size for (_, _, spec), (_, size) in rows.items() if spec == "whole")
  table = tabulate(
    [[*key, *values] for key, values in rows.items()],
    headers=["parameter", "shape", "over the mesh", "arrays", "bytes a device"],
    intfmt=",",
  )
  note = (
    f"{total:,} bytes a device, {whole:,} of them whole on every device. Averages and moments lie "
    "likewise."
  )
  return f"{name}, mesh.fsdp {fsdp}\n{table}\n{note}"


def _describe(name: str, image_size: int | None, num_classes: int) -> dict:
  variant = get_variant(name)
  size = image_size or variant.image_size
  stages = stage_costs(create_model(name, num_classes=num_classes), size)
  return {
    "variant": name,
    "origin": variant.origin,
    "image_size": size,
    "num_classes": num_classes,
    "params": sum(stage.params for stage in stages),
    "macs": sum(stage.macs for stage in stages),
    "spectral_macs": sum(stage.spectral_macs for stage in stages),
    "stages": [dataclasses.asdict(stage) for stage in stages],
  }


def _stage_table(info: dict) -> str:
  keys = ("name", "shape", "params", "macs", "spectral_macs")
  rows = [[*map(stage.get, keys)] for stage in info["stages"]]
  for row in rows:
    row[1] = "x".join(map(str, row[1]))
  rows.append(["total", "", info["params"], info["macs"], info["spectral_macs"]])
  title = "{variant} ({origin}), image {image_size}, {classes}".format_map(
    info | {"classes": counted(info["num_classes"], "class")}
  )
  note = "MACs of convolutions and matrix products; those of Fourier transforms apart."
  headers = ["stage", "output", "parameters", "MACs", "Fourier MACs"]
  return f"{title}\n{tabulate(rows, headers=headers, intfmt=',')}\n{note}"
