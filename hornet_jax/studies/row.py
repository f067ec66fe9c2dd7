"""What a finished trial was and gave, as a row of the table of results."""

import json
import os
import platform
import statistics

from etils import epath

import hornet_jax
from hornet_jax.config.build import build_model
from hornet_jax.cost.count import stage_costs
from hornet_jax.runs.records import read_records
from hornet_jax.runs.result import RunResult
from hornet_jax.runs.workdir import load_class_names, load_config
from hornet_jax.studies.results import Row
from hornet_jax.studies.trial import Trial
from hornet_jax.tasks import get_task
from hornet_jax.train.task import EVAL, EVAL_EMA


def describe_result(trial: Trial, result: RunResult, workdir: epath.Path) -> Row:
  """Describes what came of a trial; the columns are those of `results.COLUMNS`.

  Args:
    trial: trial that ended.
    result: its result; one without a score has a reason instead.
    workdir: workdir of its run.
  """
  config = load_config(workdir)
  data = config["data"]
  model = build_model(config["model"], data, len(load_class_names(workdir)))
  costs = stage_costs(model, data["image_size"], data["channels"])
  records = read_records(workdir)
  speeds = [r["train/images_per_second"] for r in records if "train/images_per_second" in r]
  row = {
    "trial": trial.name,
    "variant": config["model"]["variant"],
    "fields": config["model"]["fields"],
    "seed": str(config["seed"]),
    "learning_rate": f"{config['optimizer']['learning_rate']:g}",
    "config": trial.config,
    "overrides": json.dumps(dict(sorted(trial.overrides.items()))),
    "steps": str(result.step),
    "params": str(sum(cost.params for cost in costs)),
    "macs": str(sum(cost.macs + cost.spectral_macs for cost in costs)),
    "score": "",
    "score_raw": "",
    "loss": "",
    "seconds": f"{records[-1]['seconds']:.1f}" if records else "0",
    "images_per_second": f"{statistics.median(speeds):.1f}" if speeds else "",
    "reason": "" if result.complete else result.reason,
    "revision": hornet_jax.__version__,
    "hardware": f"{platform.machine()}, {os.cpu_count()} cores",
    "ended": result.ended,
  }
  if result.complete:
    primary = get_task(config["task"]).primary
    row["score"] = f"{result.metrics[f'{EVAL_EMA}/{primary}']:.6f}"
    row["score_raw"] = f"{result.metrics[f'{EVAL}/{primary}']:.6f}"
    row["loss"] = f"{result.metrics[f'{EVAL_EMA}/loss']:.6f}"
  return row
