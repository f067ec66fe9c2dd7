"""`evaluate` measures a model on its own data, on any labelled set, or on the suite."""

import argparse
import csv
import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from etils import epath
from tabulate import tabulate

from hornet_jax.checkpoints.newest_valid import load_variables
from hornet_jax.cli import config as config_flag
from hornet_jax.cli import hosts, suite
from hornet_jax.data.datasets import Split, default_splits, file_of, open_split
from hornet_jax.errors import InputError
from hornet_jax.files import make_folder, write_file
from hornet_jax.paths import absolute
from hornet_jax.pretrained.model_io import is_one_file
from hornet_jax.pretrained.task_model import load_task_model
from hornet_jax.runs.workdir import check_dataset, load_config
from hornet_jax.tasks.settings_of_test import with_test_settings
from hornet_jax.train.evaluate import evaluate_weights
from hornet_jax.train.evaluate_model import evaluate_model
from hornet_jax.train.metric import Metric
from hornet_jax.train.ranking import ranking_key
from hornet_jax.train.set_up import set_up
from hornet_jax.train.task import Task

_WITH_DATA = ("data_dir", "batch_size", "num_threads")
_BATCH_SIZE = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    "--workdir", required=True, help="folder of a trained run, or a file or name of weights"
  )
  parser.add_argument(
    "--checkpoint", default="last", help="last, best (of those kept) or a step (default: last)"
  )
  parser.add_argument(
    "--data",
    metavar="NAME[/SPLIT]",
    help="prepared dataset with the model's classes (default: the run's own)",
  )
  parser.add_argument(
    "--tables",
    metavar="FOLDER",
    help="also write tables there, of classes and confusions or images, as CSV and JSON",
  )
  parser.add_argument("--json", action="store_true", help="for programs")
  parser.set_defaults(takes_test_settings=True)
  suite.add_arguments(parser)
  hosts.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
  with hosts.joined(args):
    if args.suite:
      if args.overrides:
        raise InputError(f"{args.overrides[0]} does not go with --suite: leave it out.")
      return suite.run(args)
    allowed = _WITH_DATA if args.data else ()
    foreign = [f"--{f}" for f in suite.FLAGS if getattr(args, f) is not None and f not in allowed]
    if foreign:
      raise InputError(f"{', '.join(foreign)} must come with --suite: it is missing.")
    if args.data:
      return _run_on(args)
    if is_one_file(args.workdir):
      raise InputError(
        f"--data must say on which images {args.workdir} is evaluated: expected NAME or NAME/SPLIT "
        "of a prepared dataset. Hint: `hornet prepare --help`; --suite takes ImageNet's sets."
      )
    return _run(args)


def _run(args: argparse.Namespace) -> int:
  """Evaluates a run on its own evaluation splits."""
  workdir = epath.Path(args.workdir)
  settings = config_flag.load_test_settings(args.overrides)
  trainer, inputs = set_up(with_test_settings(load_config(workdir), settings))
  check_dataset(inputs.splits.train, workdir)
  step, raw, averaged = load_variables(
    workdir / "checkpoints", args.checkpoint, ranking_key(trainer.task)
  )
  eval_step = trainer.compile_eval_step(inputs.eval_batch_size, inputs.eval_schemas)
  weights = {"ema": trainer.place(averaged), "raw": trainer.place(raw)}
  measured = {}
  for split in (inputs.splits.eval, *inputs.splits.other_evals):
    measured[split.name] = evaluate_weights(trainer, inputs, eval_step, weights, split)
  _tell(args, trainer.task, measured, inputs.splits.eval, step)
  return 0


def _run_on(args: argparse.Namespace) -> int:
  """Evaluates averaged weights on a dataset that is named."""
  name, _, split_name = args.data.partition("/")
  data_dir = args.data_dir or _data_dir_of(args.workdir)
  settings = config_flag.load_test_settings(args.overrides)
  loaded = load_task_model(args.workdir, args.checkpoint, settings)
  split_name = split_name or default_splits(name, data_dir)[1]
  split = open_split(name, split_name, data_dir, loaded.task.target)
  metric = evaluate_model(
    loaded,
    split,
    batch_size=args.batch_size or _BATCH_SIZE,
    num_threads=args.num_threads or os.cpu_count() or 1,
  )
  _tell(args, loaded.task, {split.name: {"ema": metric}}, split, None)
  return 0


def _data_dir_of(workdir: str) -> str:
  """Returns the folder of prepared datasets that a run has; for one file that of TFDS, as ""."""
  if is_one_file(workdir):
    return ""
  return str(load_config(epath.Path(workdir))["data"]["data_dir"])


def _tell(
  args: argparse.Namespace,
  task: Task,
  measured: Mapping[str, Mapping[str, Metric]],
  split: Split,
  step: int | None,
) -> None:
  """Prints the numbers of each split and weights, and writes the tables of the first."""
  if jax.process_index() > 0:
    return
  if args.tables:
    metric = measured[split.name]["ema"]
    tables = task.tables(metric, split.class_names)
    named = {name: _with_files(rows, split) for name, rows in tables.items()}
    _write_tables(epath.Path(args.tables), named, metric)
    print(f"hornet: tables are in {absolute(args.tables)}", file=sys.stderr)
  computed = {
    name: {weights: metric.compute() for weights, metric in by_weights.items()}
    for name, by_weights in measured.items()
  }
  if args.json:
    first, *others = computed
    also = {"also": {name: computed[name] for name in others}} if others else {}
    print(json.dumps({"step": step, "split": first, **computed[first], **also}, indent=2))
    return
  scores = [score for score in task.scores if score.name in computed[split.name]["ema"]]
  rows = [
    [name, weights, f"{metric.count:,}", *(score.text(computed[name][weights]) for score in scores)]
    for name, by_weights in measured.items()
    for weights, metric in by_weights.items()
    if weights == "raw" or metric is not by_weights.get("raw")  # where none are averaged
  ]
  if step is not None:
    print(f"step {step:,}")
  if args.overrides:
    print(f"tested with {', '.join(text.removeprefix('--config.') for text in args.overrides)}")
  headers = ["split", "weights", "images", *(score.title for score in scores)]
  right = ["left"] * 2 + ["right"] * (len(headers) - 2)
  print(tabulate(rows, headers=headers, disable_numparse=True, colalign=right))


def _with_files(rows: Sequence[Mapping[str, Any]], split: Split) -> list[Mapping[str, Any]]:
  """Names the file of each image that a table tells of by its index, where examples tell it."""
  return [
    {**row, "file": file_of(split.source[row["index"]])} if "index" in row else row for row in rows
  ]


def _write_tables(
  folder: epath.Path, tables: Mapping[str, Sequence[Mapping[str, Any]]], metric: Metric
) -> None:
  """Writes each table as NAME.csv, and all of them with the numbers as evaluation.json."""
  make_folder(folder)
  for name, rows in tables.items():
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]) if rows else [])
    writer.writeheader()
    writer.writerows(rows)
    write_file(folder / f"{name}.csv", text.getvalue())
  everything = {"images": metric.count, "metrics": metric.compute(), **tables}
  write_file(folder / "evaluation.json", json.dumps(everything, indent=2) + "\n")
