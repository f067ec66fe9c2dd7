"""What models cost, beside the accuracies that were published for them."""

import csv
import dataclasses
import math
import statistics
import time
from collections.abc import Sequence
from typing import Any

from etils import epath

from hornet_jax.bench.result import Result
from hornet_jax.bench.rounds import ratio, time_interleaved
from hornet_jax.bench.step import make_forward
from hornet_jax.cost.estimate import FOURIER_PASSES, Step, estimate_step
from hornet_jax.cost.finished import find_scale
from hornet_jax.cost.hardware import parse_topology
from hornet_jax.cost.model_work import stage_costs, training_work
from hornet_jax.errors import InputError, StorageError
from hornet_jax.files import read_file
from hornet_jax.models import create_model, get_variant

COLUMNS = ("model", "series", "top1", "source")
_IMAGES = 128  # of a planned step, on one chip
_STATE_COPIES = 4  # parameters, their average and two moments, all float32


@dataclasses.dataclass(frozen=True)
class Entry:
  """An entry is a model with the accuracy that was published for it.

  Attributes:
    model: name of the model.
    series: name of the models that are drawn as one line.
    top1: published top-1 accuracy in percent; None where none is at hand.
    source: text that says where it was published; empty without `top1`.
  """

  model: str
  series: str
  top1: float | None
  source: str


def read_entries(path: epath.Path) -> list[Entry]:
  """Reads the models to compare from a CSV file with `COLUMNS`.

  Raises:
    InputError: if a column is missing, a model is unknown or named twice, an accuracy is no
      percentage or has no source.
  """
  try:
    rows = list(csv.DictReader(read_file(path).splitlines(), strict=True))
  except StorageError:
    raise
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise InputError(f"`models` must be a CSV file: {path}: {error}.") from error
  if not rows or set(rows[0]) != set(COLUMNS):
    found = ", ".join(map(str, rows[0])) if rows else "no row"
    raise InputError(
      f"`models` must have the columns {', '.join(COLUMNS)} and a row a model: got {found} in "
      f"{path}."
    )
  entries = [_entry(row, path) for row in rows]
  names = [entry.model for entry in entries]
  twice = {name for name in names if names.count(name) > 1}
  if twice:
    raise InputError(f"`models` must name each model once: got {min(twice)} twice in {path}.")
  return entries


def _entry(row: dict[str, Any], path: epath.Path) -> Entry:
  name, text, source = row["model"], row["top1"], row["source"]
  get_variant(name)
  try:
    top1 = float(text) if text else None
  except ValueError:
    top1 = math.nan
  if top1 is not None and not 0 < top1 < 100:
    raise InputError(f"`top1` must be a percentage, or empty: got {text!r} of {name} in {path}.")
  if (top1 is None) != (not source):
    raise InputError(
      f"`source` must say where `top1` was published, or both be empty: got {text!r} and "
      f"{source!r} of {name} in {path}."
    )
  return Entry(name, row["series"], top1, source)


def trade_off(entries: Sequence[Entry], batch_size: int, rounds: int, tpu: str) -> Result:
  """Counts, plans and times each model, at its own image size.

  Args:
    entries: models to compare; speeds are also given as multiples of the first one's.
    batch_size: number of images in a forward pass.
    rounds: number of interleaved rounds.
    tpu: TPU to plan for, a key of `CHIPS`.
  """
  costs = {entry.model: _cost(entry.model, tpu) for entry in entries}
  calls = {entry.model: make_forward(entry.model, batch_size) for entry in entries}
  # Of the process, on all cores: other jobs of the machine change them little.
  seconds = time_interleaved(calls, rounds, time.process_time, warm=True)
  first = entries[0].model
  rows = [
    {
      **dataclasses.asdict(entry),
      "image": get_variant(entry.model).image_size,
      **costs[entry.model],
      "images/CPU-s": batch_size / statistics.median(seconds[entry.model]),
      f"to {first}": ratio(seconds[first], seconds[entry.model]),
    }
    for entry in entries
  ]
  notes = (
    f"top1: as published, not ours. {tpu} s: chip-seconds to train on a thousand images in "
    f"bfloat16, {_IMAGES} a step on one chip, by arithmetic without the compiler: at peak, and "
    "with all units one after another; cycles: as scaled from finished compiles, where there are "
    f"any of the family. images/CPU-s: forward pass of {batch_size} in float32, in seconds of one "
    "core of this machine.",
  )
  return Result(f"what models cost, {rounds} interleaved rounds", rows, notes)


def _cost(name: str, tpu: str) -> dict[str, Any]:
  stages = stage_costs(create_model(name), get_variant(name).image_size)
  params = sum(stage.params for stage in stages)
  step = _planned(name, tpu, params)
  by_cycles = None if step.cycles is None else step.seconds.high
  times = {"at peak": step.seconds.low, "in turn": step.in_turn, "cycles": by_cycles}
  return {
    "params": params,
    "macs": sum(stage.macs for stage in stages),
    **{
      f"{tpu} s {how}": None if time is None else 1000 * time / _IMAGES
      for how, time in times.items()
    },
  }


def _planned(name: str, tpu: str, params: int) -> Step:
  topology = parse_topology(f"{tpu}:1x1")
  return estimate_step(
    topology,
    training_work(create_model(name), get_variant(name).image_size),
    _IMAGES,
    fourier_passes=FOURIER_PASSES["dft"],
    element_bytes=2,
    state_bytes=4 * _STATE_COPIES * params,
    gradient_bytes=4 * params,
    wire_bytes=0.0,
    between_bytes=0.0,
    cycles=None,
    scale=find_scale(name, tpu, "bfloat16", "dft", "none", _IMAGES),
  )
