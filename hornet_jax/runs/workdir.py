"""This module keeps a run's description in its folder, and checks a config against it on resume."""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from etils import epath

from hornet_jax.config.fit import to_fit
from hornet_jax.config.flat import flatten, nest
from hornet_jax.config.imports import import_modules
from hornet_jax.config.schema import SCHEMA
from hornet_jax.config.upgrade import upgrade
from hornet_jax.data.datasets import Split
from hornet_jax.errors import InputError, StorageError
from hornet_jax.file_kind import file_kind
from hornet_jax.files import exists, read_file, write_file
from hornet_jax.lock import Lock, locked
from hornet_jax.parallel.mesh import wait_for_all

CONFIG = "config.json"
LOCK = "run.lock"
_SHOWN_SECONDS = 60.0


def is_workdir(workdir: epath.Path) -> bool:
  """Returns whether a run was started in a folder."""
  return exists(workdir / CONFIG)


@contextlib.contextmanager
def only_writer(workdir: epath.Path, *, is_first: bool = True) -> Iterator[Lock]:
  """Holds a workdir against other runs.

  Args:
    workdir: folder of the run.
    is_first: whether this is the first process of the run, which holds it for all.

  Raises:
    InputError: if another run writes to it; its process is named.
    StorageError: if the storage fails.
  """
  if not is_first:
    yield Lock()
    return
  what, hint = f"the workdir {workdir}", "wait for it, end it, or choose another --workdir"
  with locked(workdir / LOCK, what, hint) as lock:
    yield lock


def check_shared(workdir: epath.Path) -> None:
  """Raises `InputError` where another process of the run sees a different folder at that path.

  A network disk may show for a while that a file is missing which another host has just made.
  """
  wait_for_all("locked")
  if jax.process_index() == 0:
    return
  deadline = time.monotonic() + _SHOWN_SECONDS
  while not exists(workdir / LOCK):
    if time.monotonic() > deadline:
      raise InputError(
        f"`workdir` {workdir} must be one folder that all hosts see: the lock of process 0 is not "
        "seen here. Hint: gs://BUCKET/RUN, or a network file system."
      )
    time.sleep(0.5)


def with_fitted_settings(config: Mapping[str, Any], workdir: epath.Path) -> dict[str, Any]:
  """Gives the settings that a run fitted to its dataset the values that it found at its start.

  Args:
    config: nested config, in which `FIT` may stand for values.
    workdir: folder of the run.
  """
  values, known = flatten(config), flatten(load_config(workdir))
  return nest(values | {name: known[name] for name in to_fit(config)})


def changed_settings(config: Mapping[str, Any], workdir: epath.Path) -> list[str]:
  """Lists what differs from the config that the workdir was made with, one line a setting.

  Args:
    config: nested config, of JSON types.
    workdir: folder of the run; nothing differs where it is new.

  Raises:
    InputError: if settings differ that must not change on resume; all of them are named.
  """
  if not is_workdir(workdir):
    return []
  refused = differing_settings(config, workdir)
  if refused:
    raise InputError(
      f"`workdir` {workdir} belongs to another config: {'; '.join(refused)}. "
      "Hint: choose another --workdir, or delete this one to start over."
    )
  return list(_changes(config, workdir).values())


def differing_settings(config: Mapping[str, Any], workdir: epath.Path) -> list[str]:
  """Lists the settings that make a run another than that of a workdir, one line each.

  Args:
    config: nested config, of JSON types.
    workdir: folder of a run.
  """
  changes = _changes(config, workdir)
  return [line for key, line in changes.items() if not SCHEMA[key].may_change]


def _changes(config: Mapping[str, Any], workdir: epath.Path) -> dict[str, str]:
  old, new = flatten(load_config(workdir)), flatten(config)
  return {
    key: f"{key} was {old[key]!r} and is {new[key]!r}"
    for key in sorted(SCHEMA)
    if old[key] != new[key]
  }


def check_dataset(train_split: Split, workdir: epath.Path) -> None:
  """Raises `InputError` where the dataset is not the one that the workdir was made with.

  A name and a `data_dir` do not make a dataset: it may have been prepared again.
  """
  known, given = _load_dataset(workdir), _describe(train_split)
  differing = [key for key in known if known[key] != given.get(key)]
  if differing:
    key = differing[0]
    raise InputError(
      f"`workdir` {workdir} belongs to another dataset: expected {key} {_short(known[key])}, got "
      f"{_short(given.get(key))} in {train_split.name}. Hint: choose another --workdir, or "
      "prepare the dataset as it was."
    )


def _short(value: Any) -> str:
  if not isinstance(value, list):
    return f"{value:,}"
  return f"{len(value)} ({', '.join(map(str, value[:3]))}, ...)"


def save_description(config: Mapping[str, Any], train_split: Split, workdir: epath.Path) -> None:
  """Saves the config and the names of the classes, so that predicting needs no dataset.

  The config comes last: where it is, there is a run, see `is_workdir`.
  """
  write_file(workdir / "dataset.json", json.dumps(_describe(train_split), indent=2) + "\n")
  write_file(workdir / CONFIG, json.dumps(config, indent=2) + "\n")


def _describe(train_split: Split) -> dict[str, Any]:
  described = {"examples": len(train_split.source), "class_names": list(train_split.class_names)}
  numbers = list(train_split.class_numbers)
  return {**described, "class_numbers": numbers} if numbers else described


def load_config(workdir: epath.Path) -> dict[str, Any]:
  """Reads the config that a workdir was made with, under today's keys, and does its `imports`.

  Raises:
    InputError: if there is none, or none that this version knows, or one of the imports fails.
  """
  config = _load_json(workdir, CONFIG)
  try:
    config = upgrade(config)
  except InputError as error:
    raise InputError(f"{workdir / CONFIG} must be a config of this program: {error}") from error
  import_modules(config["imports"])
  return config


def load_class_names(workdir: epath.Path) -> list[str]:
  """Reads the names of the classes, in the order of the logits."""
  return _load_dataset(workdir)["class_names"]


def load_class_numbers(workdir: epath.Path) -> list[int]:
  """Reads the numbers of the classes in the annotations of the dataset; empty where untold."""
  return _load_dataset(workdir).get("class_numbers", [])


def load_num_examples(workdir: epath.Path) -> int:
  """Reads the number N of images that a run trains on."""
  return _load_dataset(workdir)["examples"]


def _load_dataset(workdir: epath.Path) -> dict[str, Any]:
  known = _load_json(workdir, "dataset.json")
  names = known.get("class_names")
  strings = isinstance(names, list) and all(isinstance(name, str) for name in names)
  if not strings or not isinstance(known.get("examples"), int):
    raise _no_run(workdir / "dataset.json", "no description of a dataset")
  return known


def _load_json(workdir: epath.Path, name: str) -> dict[str, Any]:
  path = workdir / name
  try:
    content = json.loads(read_file(path))
  except StorageError:
    raise
  except (OSError, ValueError) as error:
    check_is_folder(workdir)
    raise _no_run(path, error) from error
  if not isinstance(content, dict):
    raise _no_run(path, "no settings")
  return content


def check_is_folder(workdir: epath.Path) -> None:
  """Raises `InputError` where a workdir is a file, which is named as what it is."""
  if workdir.is_file():
    raise InputError(
      f"`workdir` must be the folder of a run: {workdir} is {file_kind(workdir)}. Hint: `predict`, "
      "and `evaluate` with --data, take files of weights, too."
    )


def _no_run(path: epath.Path, found: Any) -> InputError:
  return InputError(
    f"`workdir` must be that of a run: expected a readable {path}, got: {found}. Hint: name the "
    "right --workdir, or train first; where the file is damaged, put a copy in its place."
  )
