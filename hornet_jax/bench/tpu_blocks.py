"""This module has the TPU compiler count train steps of single blocks; no TPU is needed.

Counts rank like with like and are no times: the compiler's cycles of single operations were seen
to be off by a factor of two to four in both directions, and bundles leave out every wait.
"""

import concurrent.futures
import dataclasses
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from hornet_jax.bench.result import Result
from hornet_jax.cost.hardware import Chip, parse_topology
from hornet_jax.cost.xla.compile import (
  check_compiler,
  compiler_environment,
  keep_result,
  results_folder,
)
from hornet_jax.errors import InputError
from hornet_jax.models import create_model, get_variant

BASELINE = "convnext_tiny"
NOTES = (
  "cycles: the compiler's own estimates; bundles: instruction words, each as often as its loop",
  "runs; GB: what operations read and write, on the chip too; roofline: those bytes or the FLOPs",
  "at the chip's peak, whichever takes longer. Counts rank like with like and are no times.",
)
_BUNDLE = re.compile(r"^\s*(?:0x)?[0-9a-f]+\s+(?:[A-Z]+)?\s*:(?P<loop> >)?", re.MULTILINE)
_BOUNDS = re.compile(r"^iteration_bounds: \(([\d, ]+)\)", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Block:
  """A `Block` describes one to be compiled, forward and backward, in bfloat16.

  Attributes:
    dim: number of channels.
    side: side of the square features.
    variant: name of the model that it is of.
    stage: number of the stage, from 0.
    settings: arguments of `create_model` that differ from the variant's.
  """

  dim: int
  side: int
  variant: str
  stage: int = 0
  settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Counts:
  """`Counts` are those of one program.

  Attributes:
    cycles: sum of the compiler's estimates.
    bundles: number of instruction words, each as often as its loop runs.
    bytes: number of bytes that operations read and write.
    flops: number of floating-point operations.
  """

  cycles: int
  bundles: int
  bytes: int
  flops: int

  def plus(self, other: "Counts", times: int) -> "Counts":
    """Adds the counts of another program, `times` times."""
    mine, others = dataclasses.astuple(self), dataclasses.astuple(other)
    return Counts(*(a + times * b for a, b in zip(mine, others, strict=True)))


def compare_blocks(variant: str, stage: int, images: int, topology: str) -> Result:
  """Compares a block with a global filter with the same with 7x7 and with other forms of it.

  Args:
    variant: name of the model.
    stage: number of the stage, from 0.
    images: number of images on a chip.
    topology: topology of one chip, such as v5e:1x1.

  Raises:
    InputError: if the stage has no global filter.
  """
  model: Any = create_model(variant)
  filters = model.filters
  stages = [s for s, spatial in enumerate(filters) if not isinstance(spatial, str)]
  if stage not in stages:
    expected = " or ".join(str(s + 1) for s in stages) or "another variant, none here"
    raise InputError(
      f"`stage` must have a global filter: expected {expected} for {variant}, got {stage + 1}."
    )
  blocks = {
    "7x7": _block(variant, stage, {"filters": ["7x7"] * len(filters)}),
    "global filter": _block(variant, stage),
    "its halves interleaved": _block(variant, stage, {"scan": True, "fsdp": True}),
    "its products in bfloat16": _block(variant, stage, {"global_filter": "dft_bf16"}),
    "its transforms by FFT": _block(variant, stage, {"global_filter": "fft"}),
  }
  counts = dict(zip(blocks, count_blocks(list(blocks.values()), images, topology), strict=True))
  chip = parse_topology(topology).chip
  rows = [_row("block", name, counts[name], counts["7x7"], chip) for name in blocks]
  title = f"train step of a block of stage {stage + 1} of {variant}, {images} images, {topology}"
  return Result(title, rows, NOTES)


def compare_models(variants: Sequence[str], images: int, topology: str) -> Result:
  """Compares all blocks of models with those of ConvNeXt-T; leaves out all other parts.

  Args:
    variants: names of the models.
    images: number of images on a chip.
    topology: topology of one chip, such as v5e:1x1.
  """
  models = {}
  for variant in (BASELINE, *variants):
    depths = create_model(variant).stacks().values()
    models[variant] = [(_block(variant, stage), depth) for stage, depth in enumerate(depths)]
  blocks = [block for stages in models.values() for block, _ in stages]
  counted = iter(count_blocks(blocks, images, topology))
  totals = {}
  for name, stages in models.items():
    total = Counts(0, 0, 0, 0)
    for _, depth in stages:
      total = total.plus(next(counted), depth)
    totals[name] = total
  chip = parse_topology(topology).chip
  rows = [_row("model", name, total, totals[BASELINE], chip) for name, total in totals.items()]
  return Result(f"train steps of all blocks, {images} images, {topology}", rows, NOTES)


def _block(variant: str, stage: int, changes: Mapping[str, Any] | None = None) -> Block:
  feature = create_model(variant).features()[stage]
  side = get_variant(variant).image_size // feature.stride
  return Block(feature.channels, side, variant, stage, changes or {})


def _row(kind: str, name: str, counts: Counts, base: Counts, chip: Chip) -> dict[str, Any]:
  seconds = max(counts.flops / (chip.tflops * 1e12), counts.bytes / (chip.hbm_gbps * 1e9))
  return {
    kind: name,
    "Mcycles": counts.cycles / 1e6,
    "cycles ratio": counts.cycles / base.cycles,
    "Mbundles": counts.bundles / 1e6,
    "bundles ratio": counts.bundles / base.bundles,
    "GB": counts.bytes / 1e9,
    "GB ratio": counts.bytes / base.bytes,
    "roofline ms": 1e3 * seconds,
  }


def count_blocks(blocks: Sequence[Block], images: int, topology: str) -> list[Counts]:
  """Compiles each different one in a process of its own, or takes what a former call found."""
  libtpu = check_compiler()
  requests = [
    json.dumps(
      {"block": dataclasses.asdict(b), "images": images, "topology": topology, "libtpu": libtpu}
    )
    for b in blocks
  ]
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    futures = {request: pool.submit(_count, request) for request in dict.fromkeys(requests)}
  return [futures[request].result() for request in requests]


def _count(request: str) -> Counts:
  """Counts one request, compiled unless a program of the same text was."""
  topology = parse_topology(json.loads(request)["topology"])
  cache = results_folder()
  cache.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(prefix="hornet-bench-") as name:
    folder = pathlib.Path(name)
    # Not by XLA's flags: they are read by the CPU's compiler too.
    dumps = (
      f"--xla_jf_dump_to={folder} --xla_jf_dump_llo_text=true "
      "--xla_jf_dump_llo_pass_label_regex=final_bundles"  # all passes take gigabytes, and minutes
    )
    child = subprocess.run(
      [sys.executable, "-m", "hornet_jax.bench.tpu_block_child", request, str(cache)],
      env=compiler_environment(topology) | {"LIBTPU_INIT_ARGS": dumps},
      capture_output=True,
      text=True,
      check=False,
    )
    if child.returncode:
      raise RuntimeError(f"the compiler failed:\n{child.stderr[-4000:]}")
    found = json.loads(child.stdout.splitlines()[-1])
    cached = cache / f"{found.pop('key')}.json"
    if not cached.exists():
      found["bundles"] = sum(
        count_bundles(path.read_text()) for path in folder.glob("*-final_bundles.txt")
      )
      keep_result(cached, found)
  return Counts(**json.loads(cached.read_text()))


def count_bundles(text: str) -> int:
  """Counts the instruction words that run, from the compiler's listing of one kernel.

  Those within a loop are marked, and the bounds of the loops stand at the end; nested loops count
  as one.
  """
  marks = [match["loop"] for match in _BUNDLE.finditer(text)]
  bounds = _BOUNDS.search(text)
  turns = math.prod(int(n) for n in bounds[1].split(",")) if bounds else 1
  inside = sum(mark is not None for mark in marks)
  return len(marks) - inside + turns * inside
