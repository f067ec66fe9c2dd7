"""What the folder of a run says about it, and which settings may change on resume."""

import json
from collections.abc import Mapping
from typing import Any

from etils import epath

from hornet_jax.data.datasets import Split
from hornet_jax.errors import InputError
from hornet_jax.train.files import write_file

# A run is one experiment: its length may grow, and what does not touch the numbers may
# change; all else is another experiment.
MAY_CHANGE = (
  "epochs",
  "mesh.",
  "model.remat",
  "model.scan",
  "data.data_dir",
  "data.eval_batch_size",
  "data.max_undecodable",
  "data.num_processes",
  "data.num_threads",
  "data.stall_seconds",
  "optimizer.max_rollbacks",
  "optimizer.max_skipped_steps",
  "log.",
  "eval.",
  "checkpoint.",
)


def is_workdir(workdir: epath.Path) -> bool:
  """Whether a run was started there."""
  return (workdir / "config.json").exists()


def changed_settings(config: Mapping[str, Any], workdir: epath.Path) -> list[str]:
  """What differs from the config that the workdir was made with, one line a setting.

  Args:
    config: nested, of JSON types.
    workdir: of the run; nothing differs where it is new.

  Raises:
    InputError: if a setting differs that must not; all of them are named.
  """
  if not is_workdir(workdir):
    return []
  old, new = flatten(load_config(workdir)), flatten(config)
  changed = {
    key: f"{key} was {old.get(key)!r} and is {new.get(key)!r}"
    for key in sorted(old.keys() | new.keys())
    if old.get(key) != new.get(key)
  }
  refused = [line for key, line in changed.items() if not key.startswith(MAY_CHANGE)]
  if refused:
    raise InputError(
      f"`workdir` {workdir} belongs to another config: {'; '.join(refused)}. "
      "Hint: choose another --workdir, or delete this one to start over."
    )
  return list(changed.values())


def check_dataset(train_split: Split, workdir: epath.Path) -> None:
  """Raises `InputError` where the dataset is not the one that the workdir was made with.

  A name and a `data_dir` do not make a dataset: it may have been prepared again.
  """
  known, given = _load_json(workdir, "dataset.json"), _describe(train_split)
  differing = [key for key in known if known[key] != given.get(key)]
  if differing:
    key = differing[0]
    raise InputError(
      f"`workdir` {workdir} belongs to another dataset: expected {key} {_short(known[key])}, got "
      f"{_short(given.get(key))} in {train_split.name}. Hint: choose another --workdir, or "
      "prepare the dataset as it was."
    )


def _short(value: Any) -> str:
  return f"{len(value)} ({', '.join(value[:3])}, ...)" if isinstance(value, list) else f"{value:,}"


def save_description(config: Mapping[str, Any], train_split: Split, workdir: epath.Path) -> None:
  """Keeps the config and what the classes are: predicting needs no dataset."""
  write_file(workdir / "config.json", json.dumps(config, indent=2) + "\n")
  write_file(workdir / "dataset.json", json.dumps(_describe(train_split), indent=2) + "\n")


def _describe(train_split: Split) -> dict[str, Any]:
  return {"examples": len(train_split.source), "class_names": list(train_split.class_names)}


def load_config(workdir: epath.Path) -> dict[str, Any]:
  """The config that a workdir was made with; `InputError` where there is none."""
  return _load_json(workdir, "config.json")


def load_class_names(workdir: epath.Path) -> list[str]:
  """The names of the classes, in the order of the logits."""
  return _load_json(workdir, "dataset.json")["class_names"]


def _load_json(workdir: epath.Path, name: str) -> Any:
  path = workdir / name
  try:
    return json.loads(path.read_text())
  except (OSError, ValueError) as error:
    raise InputError(
      f"`workdir` must be that of a run: expected a readable {path}, got: {error}. "
      "Hint: train first, or name the right --workdir."
    ) from error


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  """{"a": {"b": 1}} -> {"a.b": 1}; tuples become lists, as in JSON."""
  flat: dict[str, Any] = {}
  for key, value in config.items():
    if isinstance(value, Mapping):
      flat.update(flatten(value, f"{prefix}{key}."))
    else:
      flat[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
  return flat
