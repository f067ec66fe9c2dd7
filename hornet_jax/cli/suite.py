"""`evaluate --suite` measures a model on ImageNet and the sets around it."""

import argparse
import datetime
import hashlib
import json
import logging
import os

import jax
from etils import epath
from tabulate import tabulate

from hornet_jax.checkpoints.fingerprint import fingerprint
from hornet_jax.cli.arguments import positive_int
from hornet_jax.data.datasets import find_prepared, open_split
from hornet_jax.data.imagenet_classes import synsets
from hornet_jax.errors import InputError, unknown_name
from hornet_jax.pretrained.class_map import read_class_map
from hornet_jax.pretrained.model_io import is_one_file, read_model, to_pretrained
from hornet_jax.pretrained.spec import ModelSpec, evaluation_settings
from hornet_jax.suite.run import Suite
from hornet_jax.suite.scores import read_real_labels
from hornet_jax.suite.sets import REAL, SETS
from hornet_jax.suite.table import Row, append_rows, check_table, set_rows, write_per_class
from hornet_jax.tasks.predictions import per_class
from hornet_jax.versions import versions

_logger = logging.getLogger(__name__)

FLAGS = ("sets", "data_dir", "class_map", "real", "batch_size", "num_threads", "readers", "table")
_NAMES = (*SETS, REAL)
_BATCH_SIZE = 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    "--suite", action="store_true", help="ImageNet and the sets around it, for any ImageNet model"
  )
  suite = parser.add_argument_group("with --suite")
  suite.add_argument("--sets", help=f"some of {','.join(_NAMES)} (default: those that are there)")
  suite.add_argument("--data_dir", help="of prepared datasets (default: the run's own, or TFDS's)")
  suite.add_argument(
    "--class_map", help="file with the number of each of the 1,000 classes in a larger head"
  )
  suite.add_argument("--real", metavar="FILE", help="real.json of ReaL, the reassessed labels")
  suite.add_argument("--batch_size", type=positive_int, help=f"default: {_BATCH_SIZE}")
  suite.add_argument(
    "--num_threads", type=positive_int, help="that read, in each process (default: one a core)"
  )
  suite.add_argument(
    "--readers",
    type=positive_int,
    metavar="N",
    help="processes of a host that read, where threads do not keep up (default: its own alone)",
  )
  suite.add_argument(
    "--table", help="CSV file that the results are added to (default: workdir/suite.csv)"
  )


def run(args: argparse.Namespace) -> int:
  table = epath.Path(args.table or "workdir/suite.csv")
  check_table(table)
  real_labels = read_real_labels(epath.Path(args.real)) if args.real else None
  class_map = read_class_map(args.class_map) if args.class_map else None
  sources = _read(args.workdir, args.checkpoint)
  spec = next(iter(sources.values()))[0]
  data_dir = args.data_dir or spec.data.get("data_dir", "")
  wanted = _wanted(args.sets, data_dir, real_labels is not None)
  names = [name for name in SETS if name in wanted or (name == "val" and REAL in wanted)]

  suite = Suite(
    {weights: to_pretrained(*source) for weights, source in sources.items()},
    class_map,
    batch_size=args.batch_size or _BATCH_SIZE,
    num_threads=args.num_threads or os.cpu_count() or 1,
    num_processes=args.readers or 0,
  )
  settings = {
    "model": spec.model,
    "data": evaluation_settings(spec),
    "class_map": None if class_map is None else class_map.tolist(),
  }
  config = json.dumps(settings)
  identities = {weights: _identity(params, config) for weights, (_, params) in sources.items()}
  devices = jax.devices()
  common: Row = {
    "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    "checkpoint": args.workdir
    if args.checkpoint == "last"
    else f"{args.workdir}@{args.checkpoint}",
    "variant": spec.model["variant"],
    "config": config,
    "model_images_per_second": round(suite.images_per_second, 1),
    "devices": f"{len(devices)} x {devices[0].device_kind}",
    "versions": json.dumps(versions()),
  }
  writes = jax.process_index() == 0
  rows: list[Row] = []
  by_class = table.with_name(f"{table.stem}_classes")
  for name in names:
    eval_set = SETS[name]
    result = suite.predict(eval_set, open_split(eval_set.dataset, eval_set.split, data_dir))
    of_set = [
      common | identities[str(row["weights"])] | row
      for row in set_rows(name, result, real_labels if REAL in wanted else None)
    ]
    rows += of_set
    if not writes:
      continue
    append_rows(table, of_set)  # now: the next set may take hours
    for weights, predictions in result.predictions.items():
      file = by_class / f"{identities[weights]['evaluation']}_{name}.csv"
      write_per_class(file, per_class(predictions, synsets()))
    _logger.info("%s: %d images in %.0f s", eval_set.title, of_set[0]["images"], result.seconds)
  if not writes:
    return 0
  if args.json:
    print(json.dumps(rows, indent=2))
  else:
    print(_printed(rows))
    print(f"added to {table}; class by class in {by_class}")
  return 0


def _identity(params: dict, config: str) -> Row:
  digest = fingerprint(params)
  evaluation = hashlib.sha256(f"{digest} {config}".encode()).hexdigest()[:12]
  return {"sha256": digest, "evaluation": evaluation}


def _wanted(given: str | None, data_dir: str, has_real: bool) -> list[str]:
  """Lists the sets of `_NAMES` to evaluate on; logs those that are left out.

  Raises:
    InputError: if a set that was asked for is unknown or not there, or none is.
  """
  asked = given.split(",") if given else list(_NAMES)
  hints = {name: _missing(name, data_dir, has_real) for name in asked}
  absent = [f"{name}: {hint}" for name, hint in hints.items() if hint]
  if absent and (given or len(absent) == len(asked)):
    raise InputError(f"`sets` must be there: {'; '.join(absent)}.")
  for line in absent:
    _logger.info("left out: %s", line)
  return [name for name, hint in hints.items() if not hint]


def _missing(name: str, data_dir: str, has_real: bool) -> str:
  """Tells what to do about a set that is not there; empty where it is."""
  if name not in _NAMES:
    raise unknown_name("set", name, _NAMES)
  if name == REAL:
    if not has_real:
      return "give --real=real.json of https://github.com/google-research/reassessed-imagenet"
    name = "val"
  dataset = SETS[name].dataset
  if find_prepared(dataset, data_dir):
    return ""
  return f"not prepared, run python -m hornet_jax prepare {dataset} --archives=DIR"


def _read(path: str, checkpoint: str) -> dict[str, tuple[ModelSpec, dict]]:
  """Reads description and parameters of each set of weights, by name: file, ema or raw."""
  if is_one_file(path):
    return {"file": read_model(path, checkpoint=checkpoint)}
  return {
    "ema": read_model(path, checkpoint=checkpoint),
    "raw": read_model(path, checkpoint=checkpoint, raw=True),
  }


def _printed(rows: list[Row]) -> str:
  shares = ("top1", "top5", "calibration_error", "corruption_error")
  headers = ["set", "weights", "images", "classes", "top-1", "top-5", "ECE", "CE", "images/s"]
  lines = [
    [
      *(row[key] for key in ("set", "weights", "images", "classes")),
      *(f"{100 * float(row[key]):.2f} %" if key in row else "" for key in shares),
      row["images_per_second"],
    ]
    for row in rows
  ]
  return tabulate(lines, headers=headers, intfmt=",", disable_numparse=[0, 1])
