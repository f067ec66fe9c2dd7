"""Reads `--config FILE[:ARG]` and `--config.KEY=VALUE` into a nested dictionary."""

import argparse
import importlib.util
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

import hornet_jax
from hornet_jax.errors import InputError, unknown_name
from hornet_jax.train.workdir import flatten

_ROOT = pathlib.Path(hornet_jax.__file__).parents[1]


def add_argument(parser: argparse.ArgumentParser) -> None:
  """Adds `--config` to a command."""
  parser.add_argument(
    "--config",
    default="configs/digits.py",
    help="FILE[:ARG]; --config.KEY=VALUE overrides a key (default: %(default)s)",
  )


def load(config_file: str, overrides: Sequence[str]) -> dict[str, Any]:
  """Calls the file's `get_config(ARG)` and applies the overrides.

  Args:
    config_file: path, relative to here or to the root of this project, with an
      optional `:ARG`.
    overrides: such as `--config.optimizer.learning_rate=1e-3`.

  Raises:
    InputError: if the file is missing, a key unknown or a value of the wrong type.
  """
  path, _, arg = config_file.partition(":")
  found = next((p for p in (pathlib.Path(path), _ROOT / path) if p.is_file()), None)
  if found is None or found.suffix != ".py":
    experiments = sorted({p.name for p in _ROOT.glob("configs/*.py")} - {"common.py"})
    known = ", ".join(f"configs/{name}" for name in experiments)
    raise InputError(f"config file {path!r} not found: expected a path such as {known}.")
  try:
    config = _import(found).get_config(arg)
  except (AttributeError, SyntaxError, ImportError, ValueError) as error:
    raise InputError(f"config {config_file}: {error}") from error
  _check_keys(overrides, config.to_dict())
  try:
    return _apply(config, overrides)
  except (flags.Error, ValueError, TypeError) as error:
    raise InputError(f"config {config_file}: {error}") from error


def _import(path: pathlib.Path) -> Any:
  if str(_ROOT) not in sys.path:
    sys.path.insert(0, str(_ROOT))  # for `from configs import common`
  spec = importlib.util.spec_from_file_location(path.stem, path)
  assert spec, path
  assert spec.loader, path
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def _apply(config: ConfigDict, overrides: Sequence[str]) -> dict[str, Any]:
  values, argv = flags.FlagValues(), ["hornet", *overrides]
  config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=argv)
  values(argv)
  return config.to_dict()


def _check_keys(overrides: Sequence[str], config: dict[str, Any]) -> None:
  known = flatten(config)
  for override in overrides:
    name, equals, _ = override.partition("=")
    if not name.startswith("--config."):
      raise InputError(
        f"unknown argument {override!r}: expected --config.KEY=VALUE. "
        "Hint: `hornet train --help` lists the arguments."
      )
    key = name.removeprefix("--config.")
    if key not in known:
      raise unknown_name("config key", key, known)
    if not equals:
      raise InputError(f"config key {key!r} needs a value: expected --config.{key}=VALUE.")
