"""What the folder of a run says about it, and which settings may change on resume."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from hornet_jax.errors import InputError

# A run is one experiment: its length may grow, and what does not touch the numbers may
# change; all else is another experiment.
MAY_CHANGE = ("epochs", "data.data_dir", "data.num_threads", "log.", "eval.", "checkpoint.")


def check_and_save_config(config: Mapping[str, Any], workdir: epath.Path) -> list[str]:
  """Compares with the config that the workdir was made with, then keeps the new one.

  Args:
    config: nested, of JSON types.
    workdir: of the run; holds config.json.

  Returns:
    What changed, one line a setting; nothing for a new workdir.

  Raises:
    InputError: if a setting differs that must not; all of them are named.
  """
  path = workdir / "config.json"
  changed = {}
  if path.exists():
    old, new = flatten(json.loads(path.read_text())), flatten(config)
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
  workdir.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(config, indent=2) + "\n")
  return list(changed.values())


def load_config(workdir: epath.Path) -> dict[str, Any]:
  """The config that a workdir was made with.

  Raises:
    InputError: if there is none.
  """
  path = workdir / "config.json"
  if not path.exists():
    raise InputError(
      f"`workdir` must be that of a run: expected {path}, found none. "
      "Hint: train first, or name the right --workdir."
    )
  return json.loads(path.read_text())


def save_class_names(class_names: Sequence[str], workdir: epath.Path) -> None:
  """Keeps the names beside the weights: predicting needs no dataset."""
  (workdir / "classes.json").write_text(json.dumps(list(class_names), indent=2) + "\n")


def load_class_names(workdir: epath.Path) -> list[str]:
  """The names of the classes, in the order of the logits."""
  return json.loads((workdir / "classes.json").read_text())


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  """{"a": {"b": 1}} -> {"a.b": 1}; tuples become lists, as in JSON."""
  flat: dict[str, Any] = {}
  for key, value in config.items():
    if isinstance(value, Mapping):
      flat.update(flatten(value, f"{prefix}{key}."))
    else:
      flat[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
  return flat
