"""`mup` trains for a few steps at several widths: do activations and learning rates stay?"""

import argparse
import pathlib
from collections.abc import Mapping
from typing import Any

from hornet_jax.cli import config as config_flag
from hornet_jax.cli.arguments import positive_int
from hornet_jax.studies.width_effects import (
  coordinates_table,
  draw_coordinates,
  draw_rates,
  rates_table,
  slope,
  spread,
)
from hornet_jax.train.width_effects import activation_scales, losses_by_rate, with_parametrization

_PARAMETRIZATIONS = ("standard", "mup")


def add_arguments(parser: argparse.ArgumentParser) -> None:
  actions = parser.add_subparsers(metavar="ACTION", dest="action", required=True)
  coordinates = actions.add_parser(
    "coordinates", help="the scale of the activations after a few steps, without and with muP"
  )
  rates = actions.add_parser(
    "rates", help="the training loss at several learning rates, without and with muP"
  )
  for action in (coordinates, rates):
    config_flag.add_argument(action)
    action.add_argument("--widths", type=_widths, required=True, help="such as 16,32,64,128")
    action.add_argument(
      "--seeds", type=positive_int, default=3, help="initialisations to average over (default: 3)"
    )
    action.add_argument("--out", help="PNG file of the picture (default: none)")
  coordinates.add_argument("--steps", type=positive_int, default=5, help="updates (default: 5)")
  rates.add_argument("--steps", type=positive_int, default=100, help="updates (default: 100)")
  rates.add_argument("--rates", type=_rates, required=True, help="such as 1e-3,2e-3,4e-3")


def run(args: argparse.Namespace) -> int:
  config = config_flag.load(args.config, args.overrides)
  base_width = config["optimizer"]["base_width"] or args.widths[0]
  configs = {name: with_parametrization(config, name, base_width) for name in _PARAMETRIZATIONS}
  act = _coordinates if args.action == "coordinates" else _learning_rates
  act(args, configs, pathlib.Path(args.out) if args.out else None)
  return 0


_Configs = Mapping[str, Mapping[str, Any]]


def _coordinates(args: argparse.Namespace, configs: _Configs, out: pathlib.Path | None) -> None:
  scales = {
    name: activation_scales(config, args.widths, args.steps, args.seeds)
    for name, config in configs.items()
  }
  print(coordinates_table(args.widths, scales))
  for name, of_layer in scales.items():
    slopes = {layer: slope(args.widths, values) for layer, values in of_layer.items()}
    steepest = max(slopes, key=lambda layer: abs(slopes[layer]))
    print(f"{name}: {steepest} is steepest, {slopes[steepest]:+.3f}")
  if out:
    draw_coordinates(args.widths, scales, out)


def _learning_rates(args: argparse.Namespace, configs: _Configs, out: pathlib.Path | None) -> None:
  losses = {
    name: {
      width: losses_by_rate(config, width, args.rates, args.steps, args.seeds)
      for width in args.widths
    }
    for name, config in configs.items()
  }
  print(rates_table(args.rates, losses))
  for name, by_width in losses.items():
    print(
      f"{name}: the best learning rates lie within a factor of {spread(args.rates, by_width):.2f}"
    )
  if out:
    draw_rates(args.rates, losses, out)


def _widths(text: str) -> list[int]:
  return [round(number) for number in _ascending(text, 2)]


def _rates(text: str) -> list[float]:
  return _ascending(text, 3)


def _ascending(text: str, fewest: int) -> list[float]:
  """Reads positive numbers, ascending, with commas between them."""
  try:
    numbers = [float(number) for number in text.split(",")]
  except ValueError:
    numbers = []
  if len(numbers) < fewest or sorted({0.0, *numbers}) != [0.0, *numbers]:
    raise argparse.ArgumentTypeError(
      f"expected at least {fewest} positive numbers, ascending, with commas, got {text!r}"
    )
  return numbers
