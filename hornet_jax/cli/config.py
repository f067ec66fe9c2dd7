"""Reads `--config FILE[:ARG]` and `--config.KEY=VALUE` into a nested dictionary."""

import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import config_flags

import hornet_jax
from hornet_jax.errors import InputError, unknown_name
from hornet_jax.train.workdir import flatten

_ROOT = pathlib.Path(hornet_jax.__file__).parents[1]


def load(config_file: str, overrides: Sequence[str]) -> dict[str, Any]:
  """Calls the file's `get_config(ARG)` and applies the overrides.

  Args:
    config_file: path, relative to here or to the root of this project, with an
      optional `:ARG`.
    overrides: such as `--config.optimizer.learning_rate=1e-3`.

  Raises:
    InputError: if the file is missing, a key unknown or a value of the wrong type.
  """
  path, colon, arg = config_file.partition(":")
  found = next((p for p in (pathlib.Path(path), _ROOT / path) if p.is_file()), None)
  if found is None:
    known = ", ".join(f"configs/{p.name}" for p in sorted(_ROOT.glob("configs/*.py")))
    raise InputError(f"config file {path!r} not found: expected a path such as {known}.")
  if str(_ROOT) not in sys.path:
    sys.path.insert(0, str(_ROOT))  # for `from configs import common`

  argv = ["hornet", f"--config={found}{colon}{arg}", *overrides]
  try:
    config = _parse(argv[:2], argv[:2])
    _check_keys(overrides, config)
    return _parse(argv, argv)
  except (flags.Error, ValueError, TypeError) as error:
    if isinstance(error, InputError):
      raise
    raise InputError(f"config {config_file}: {error}") from error


def _parse(argv: list[str], sys_argv: list[str]) -> dict[str, Any]:
  values = flags.FlagValues()
  holder = config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=sys_argv)
  values(argv)
  return holder.value.to_dict()


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
