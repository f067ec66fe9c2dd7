"""`plan` tells how a config would run on TPUs that are not there."""

import argparse
import itertools
import re
import sys
from typing import Any

from hornet_jax.cli import config as config_flag
from hornet_jax.cli import plan_comparison, plan_tables
from hornet_jax.cli.arguments import positive_int
from hornet_jax.config.check import check_config
from hornet_jax.config.fit import fit
from hornet_jax.cost.hardware import CHIPS, Topology, parse_topology
from hornet_jax.cost.largest_batch import largest_batch
from hornet_jax.cost.plan import Limits, Plan, Scenario, make_plan, make_scenario
from hornet_jax.cost.xla.compile import check_compiler, results_folder
from hornet_jax.data.datasets import find_image_info
from hornet_jax.data.training_split import training_size
from hornet_jax.errors import InputError
from hornet_jax.models.execution import check_remat

_PODS = {
  2: ["2x4", "4x4", "4x8", "8x8", "8x16", "16x16"],
  3: ["2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8"],
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
  config_flag.add_argument(parser)
  parser.add_argument(
    "--topology", default="v5e:2x4", help="TPU:SIDES, such as v5e:16x16 (default: %(default)s)"
  )
  parser.add_argument(
    "--slices",
    type=positive_int,
    default=1,
    help="number of such slices, the data centre's network between them (default: %(default)s)",
  )
  parser.add_argument("--batch", help="images of a step on each chip (default: the config's batch)")
  parser.add_argument("--mesh", help="DATAxFSDP, or FSDP alone (default: the config's)")
  parser.add_argument("--remat", help="none, full, dense or dots (default: the config's)")
  parser.add_argument(
    "--compare",
    action="store_true",
    help="one table; --topology, --batch, --mesh and --remat take lists, with commas",
  )
  parser.add_argument(
    "--weak_scaling", action="store_true", help="8 to 256 chips with the same images a chip"
  )
  parser.add_argument(
    "--largest", action="store_true", help="compile larger batches until the next does not fit"
  )
  parser.add_argument(
    "--full", action="store_true", help="finish the compile, for its cycles: minutes"
  )
  parser.add_argument("--lower_only", action="store_true", help="arithmetic alone, in seconds")
  parser.add_argument("--price", help="of a chip-hour: a number, or TPU=NUMBER,... for several")
  parser.add_argument("--num_examples", type=positive_int, help="of the training split")
  parser.add_argument("--num_classes", type=positive_int, help="of the dataset")
  parser.add_argument(
    "--time_limit", type=positive_int, default=1800, help="seconds a program (default: %(default)s)"
  )


def run(args: argparse.Namespace) -> int:
  check_compiler()
  config = config_flag.load(args.config, args.overrides)
  check_config(config)
  prices = _prices(args.price)
  num_examples, num_classes = _size(args, config["data"])
  data = config["data"]
  config, _ = fit(config, num_examples, find_image_info(data["dataset"], data["data_dir"]))
  scenarios = _scenarios(args, config)
  limits = Limits(float(args.time_limit), results_folder(), args.full, args.lower_only)

  def plan(scenario: Scenario) -> Plan:
    progress = _Progress(plan_tables.title(scenario))
    try:
      return make_plan(scenario, num_classes, num_examples, limits, progress)
    finally:
      progress.close()

  plans = [plan(scenario) for scenario in scenarios]
  if args.weak_scaling:
    print(plan_comparison.weak_scaling(plans))
    return 0
  if args.compare:
    print(plan_comparison.comparison(plans, prices))
    return 0
  (only,) = plans
  print(plan_tables.report(only, prices))
  if only.fits is None:
    return 0
  if only.fits and not args.largest:
    print(plan_tables.larger_guess(only))
    return 0
  print(_what_fits(only, plan))
  return 0 if only.fits else 1


def _what_fits(planned: Plan, plan: Any) -> str:
  """Tells which batch would fit, and whether recomputing all would make this one fit."""
  scenario = planned.scenario

  def again(images: int | None = None, remat: str | None = None) -> Plan:
    return plan(
      make_scenario(
        scenario.config, scenario.topology, images=images, remat=remat, slices=scenario.slices
      )
    )

  lines = [plan_tables.largest(largest_batch(planned, again))]
  if not planned.fits and scenario.config["model"]["remat"] != "full":
    full = again(remat="full")
    if full.fits:
      lines.append(f"with --remat=full this batch fits: {plan_tables.memory_line(full)}")
    else:
      found = largest_batch(full, lambda images: again(images, "full"))
      lines.append(f"with --remat=full it does not fit either; {plan_tables.largest(found)}")
  return "\n".join(lines)


def _scenarios(args: argparse.Namespace, config: dict[str, Any]) -> list[Scenario]:
  topologies = [parse_topology(text) for text in args.topology.split(",")]
  if args.weak_scaling:
    generation = topologies[0].generation
    pods = _PODS[topologies[0].chip.links // 2]
    topologies = [parse_topology(f"{generation}:{sides}") for sides in pods]
    if not args.batch:
      raise InputError("--weak_scaling needs --batch: expected the images of one chip, got none.")
  batches = [_whole("batch", text) for text in args.batch.split(",")] if args.batch else [None]
  meshes = args.mesh.split(",") if args.mesh else [None]
  policies = args.remat.split(",") if args.remat else [None]
  for policy in filter(None, policies):
    check_remat(policy)
  several = {"batch": batches, "mesh": meshes, "remat": policies}
  if not args.weak_scaling:
    several["topology"] = topologies
  for name, values in several.items():
    if len(values) > 1 and (args.weak_scaling or not args.compare):
      raise InputError(f"--{name} must be one: got {len(values)}. Hint: --compare takes several.")
  return [
    make_scenario(
      config,
      topology,
      images=images,
      fsdp=_fsdp(mesh, topology, args.slices),
      remat=policy,
      slices=args.slices,
    )
    for topology, mesh, policy, images in itertools.product(topologies, meshes, policies, batches)
  ]


def _fsdp(mesh: str | None, topology: Topology, slices: int) -> int | None:
  if mesh is None:
    return None
  if not re.fullmatch(r"([1-9]\d*x)?[1-9]\d*", mesh):
    raise InputError(f"--mesh must be DATAxFSDP or FSDP: expected such as 32x8 or 8, got {mesh!r}.")
  data, _, fsdp = mesh.rpartition("x")
  devices = topology.num_devices * slices
  if data and int(data) * int(fsdp) != devices:
    of_each = f", {topology.chip.devices} devices each" if topology.chip.devices > 1 else ""
    of_slices = f"{slices} slices of " if slices > 1 else ""
    raise InputError(
      f"--mesh must have the {topology.num_chips * slices} chips of {of_slices}{topology.name}"
      f"{of_each}: got {mesh}, {int(data) * int(fsdp)}."
    )
  return int(fsdp)


def _whole(name: str, text: str) -> int:
  if not re.fullmatch(r"[1-9]\d*", text):
    raise InputError(f"--{name} must be a whole number of at least 1: got {text!r}.")
  return int(text)


def _prices(text: str | None) -> dict[str, float]:
  """Reads the price of a chip-hour of each TPU; TPUs without a price are left out."""
  if not text:
    return {}
  prices: dict[str, float] = {}
  for part in text.split(","):
    name, equals, number = part.rpartition("=")
    names = [name] if equals else list(CHIPS)
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", number) or not set(names) <= CHIPS.keys():
      raise InputError(f"--price must be a number, or TPU=NUMBER,...: got {text!r}.")
    prices |= dict.fromkeys(names, float(number))
  return prices


def _size(args: argparse.Namespace, data: dict[str, Any]) -> tuple[int, int]:
  if args.num_examples and args.num_classes:
    return args.num_examples, args.num_classes
  try:
    known = training_size(data)
  except InputError as error:
    raise InputError(
      f"{error} Or give --num_examples and --num_classes: planning needs no images."
    ) from error
  return args.num_examples or known[0], args.num_classes or known[1]


class _Progress:
  """A `_Progress` updates a line on a terminal; elsewhere it prints one every half minute."""

  def __init__(self, title: str):
    self._title, self._last, self._width = title, 0.0, 0

  def __call__(self, doing: str, seconds: float) -> None:
    line = f"{self._title}: {doing}, {seconds:.0f} s"
    if sys.stderr.isatty():
      self._width = max(self._width, len(line))
      print(f"\r{line}", end="", file=sys.stderr, flush=True)
    elif seconds - self._last >= 30:
      self._last = seconds
      print(line, file=sys.stderr, flush=True)

  def close(self) -> None:
    if self._width:
      print(f"\r{' ' * self._width}\r", end="", file=sys.stderr, flush=True)
