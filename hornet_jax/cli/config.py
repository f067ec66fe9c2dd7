"""This module reads `--config NAME[:ARG]` and `--config.KEY=VALUE` into a nested dictionary."""

import argparse
import textwrap
from collections.abc import Sequence
from typing import Any

from hornet_jax.config.check import check_keys
from hornet_jax.config.files import load_file
from hornet_jax.config.flat import flatten
from hornet_jax.config.imports import import_modules
from hornet_jax.config.schema import SCHEMA
from hornet_jax.errors import InputError, unknown_name


def add_argument(
  parser: argparse.ArgumentParser, default: str | None = "digits", purpose: str = ""
) -> None:
  """Adds `--config`, and `--help_config`, which prints the keys, to a command.

  Args:
    parser: parser of the command.
    default: config that is taken without the argument.
    purpose: what the command does with it, for the help; empty where that is plain.
  """
  shown = f" (default: {default})" if default else ""
  parser.add_argument(
    "--config",
    default=default,
    metavar="NAME[:ARG]",
    help=f"{purpose}a shipped config (`hornet configs`) or the path of a file; --config.KEY=VALUE "
    f"overrides a key{shown}",
  )
  parser.add_argument(
    "--help_config", "--help-config", action=_HelpConfig, help="print every KEY and exit"
  )


def load(config_file: str, overrides: Sequence[str]) -> dict[str, Any]:
  """Calls a config file's `get_config(ARG)` and applies the overrides.

  Args:
    config_file: name or path with an optional `:ARG`, see `hornet_jax.config.files.load_file`.
    overrides: such as `--config.optimizer.learning_rate=1e-3`.

  Raises:
    InputError: if the file is missing, a key unknown, a value of the wrong type, or one of its
      `imports` fails.
  """
  config = load_file(config_file)
  known = flatten(config.to_dict())
  check_keys(known)
  _check_names(overrides)
  settings = _apply(config_file, config, overrides)
  import_modules(settings["imports"])
  return settings


def load_test_settings(overrides: Sequence[str]) -> dict[str, Any]:
  """Reads the settings by which a trained model is tested in another way than its run says.

  Args:
    overrides: such as `--config.segmentation.eval_flip=True`.

  Returns:
    Values by the dotted names of their keys.

  Raises:
    InputError: if a key is unknown or has a say in more than tests, or a value is bad.
  """
  _check_names(overrides)
  names = [override.partition("=")[0].removeprefix("--config.") for override in overrides]
  known = [name for name, key in SCHEMA.items() if key.of_test]
  foreign = [name for name in names if name not in known]
  if foreign:
    raise InputError(
      f"`{foreign[0]}` is part of what was trained: expected a key that says how a trained model "
      f"is tested, {', '.join(known)}."
    )
  if not names:
    return {}
  # Here, not above, as in `_apply`.
  from hornet_jax.config.base import base_config

  values = flatten(_apply("of the test", base_config(), overrides))
  for name in names:
    SCHEMA[name].check(name, values[name])
  return {name: values[name] for name in names}


def _apply(config_file: str, config: Any, overrides: Sequence[str]) -> dict[str, Any]:
  # Here, not above: the extra `train` has them, and `info` without --config does without.
  from absl import flags
  from ml_collections import config_flags

  values, argv = flags.FlagValues(), ["hornet", *overrides]
  try:
    config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=argv)
    values(argv)
  except (flags.Error, ValueError, TypeError) as error:
    raise InputError(f"config {config_file}: {error}") from error
  return config.to_dict()


def _check_names(overrides: Sequence[str]) -> None:
  for override in overrides:
    name, equals, _ = override.partition("=")
    if not name.startswith("--config."):
      raise InputError(
        f"unknown argument {override!r}: expected --config.KEY=VALUE. "
        "Hint: `hornet train --help` lists the arguments."
      )
    key = name.removeprefix("--config.")
    if key not in SCHEMA:
      raise unknown_name("config key", key, SCHEMA)
    if not equals:
      raise InputError(f"config key {key!r} needs a value: expected --config.{key}=VALUE.")


class _HelpConfig(argparse.Action):
  """Prints the schema, as `--help` prints the arguments."""

  def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None):
    super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help=help)

  def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
    print(describe_keys())
    parser.exit()


def describe_keys() -> str:
  """Returns every key with its default, its range, whether it may change, and its meaning."""
  lines = []
  for name, key in SCHEMA.items():
    may_change = "may change on resume" if key.may_change else ""
    limits = "; ".join(filter(None, (key.allowed, may_change)))
    line = f"--config.{name}={key.default!r}{f'  ({limits})' if limits else ''}"
    lines += textwrap.wrap(line, 98, subsequent_indent="    ", break_long_words=False)
    lines += textwrap.wrap(key.description, 94, initial_indent="    ", subsequent_indent="    ")
  return "\n".join(lines)
