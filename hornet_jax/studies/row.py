"""What a finished trial was and gave, as a row of the table of results."""

import datetime
import json
import os
import platform
import statistics

from etils import epath

from hornet_jax.runs.clock import start_time
from hornet_jax.runs.records import read_records
from hornet_jax.runs.result import RunResult
from hornet_jax.runs.workdir import load_class_names, load_config, load_num_examples
from hornet_jax.studies.model_cost import count_model, train_flops
from hornet_jax.studies.results import Row
from hornet_jax.studies.revision import revision
from hornet_jax.studies.trial import Trial
from hornet_jax.tasks import get_task
from hornet_jax.train.ranking import EVAL, EVAL_EMA


def describe_result(trial: Trial, result: RunResult, workdir: epath.Path) -> Row:
  """Describes what came of a trial; the columns are those of `results.COLUMNS`.

  Args:
    trial: trial that ended.
    result: its result; one without a score has a reason instead.
    workdir: workdir of its run.
  """
  config = load_config(workdir)
  data = config["data"]
  cost = count_model(config["model"], data, len(load_class_names(workdir)))
  seen = result.step * data["batch_size"]
  unique = min(load_num_examples(workdir), seen)
  records = read_records(workdir)
  speeds = [r["train/images_per_second"] for r in records if "train/images_per_second" in r]
  row = {
    "trial": trial.name,
    "variant": config["model"]["variant"],
    "fields": config["model"]["fields"],
    "image_size": str(data["image_size"]),
    "seed": str(config["seed"]),
    "learning_rate": f"{config['optimizer']['learning_rate']:g}",
    "config": trial.config,
    "overrides": json.dumps(dict(sorted(trial.overrides.items()))),
    "steps": str(result.step),
    "images_seen": str(seen),
    "unique_images": str(unique),
    "params": str(cost.params),
    "params_with_head": str(cost.params_with_head),
    "macs": str(cost.macs),
    "flops": str(train_flops(cost.macs, seen)),
    "score": "",
    "score_raw": "",
    "error": "",
    "loss": "",
    "seconds": f"{records[-1]['seconds']:.1f}" if records else "0",
    "images_per_second": f"{statistics.median(speeds):.1f}" if speeds else "",
    "reason": "" if result.complete else result.reason,
    "revision": revision(),
    "hardware": f"{platform.machine()}, {os.cpu_count()} cores",
    "started": _utc(start_time(workdir)),
    "ended": result.ended,
  }
  if result.complete:
    primary = get_task(config["task"]).primary
    score = result.metrics[f"{EVAL_EMA}/{primary}"]
    row["score"] = f"{score:.6f}"
    row["score_raw"] = f"{result.metrics[f'{EVAL}/{primary}']:.6f}"
    row["error"] = f"{1 - score:.6f}"
    row["loss"] = f"{result.metrics[f'{EVAL_EMA}/loss']:.6f}"
  return row


def _utc(seconds: float | None) -> str:
  """Formats a time, in seconds since 1970, as ISO 8601 has it; empty where it is not known."""
  if seconds is None:
    return ""
  return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
