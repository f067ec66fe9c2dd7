"""A config is held against the schema here, before anything is built from it."""

from collections.abc import Mapping
from typing import Any

from hornet_jax.config.flat import flatten
from hornet_jax.config.key import FIT
from hornet_jax.config.schema import SCHEMA, VERSION
from hornet_jax.errors import InputError, unknown_name


def check_keys(values: Mapping[str, Any]) -> None:
  """Raises `InputError` unless a config has every key of the schema and no other.

  Args:
    values: flat config, by dotted names.
  """
  for name in values:
    if name not in SCHEMA:
      raise unknown_name("config key", name, SCHEMA)
  missing = sorted(SCHEMA.keys() - values.keys())
  if missing:
    raise InputError(
      f"`config` must have every key of the schema: missing {', '.join(missing)}. Hint: start "
      "from `hornet_jax.config.base_config()`."
    )


def check_config(config: Mapping[str, Any]) -> None:
  """Raises `InputError` for the first key or value that the schema does not allow.

  Args:
    config: nested, with the keys of `SCHEMA`.
  """
  values = flatten(config)
  check_keys(values)
  for name, value in values.items():
    SCHEMA[name].check(name, value)
  for name, key in SCHEMA.items():
    if key.per and values[key.per] != FIT and len(values[name]) not in (0, values[key.per]):
      raise InputError(
        f"`{name}` must have as many numbers as `{key.per}` says: expected {values[key.per]}, got "
        f"{len(values[name])}."
      )
  if values["version"] != VERSION:
    raise InputError(f"`version` must not be set: expected {VERSION}, got {values['version']}.")
  for name in ("data.crop_scale", "data.crop_aspect"):
    low, high = values[name]
    if low > high:
      raise InputError(
        f"`{name}` must be a smallest and a largest value: expected a <= b, got {values[name]}."
      )
  _check_schedule(values)
  if (values["optimizer.parametrization"] != "standard") != bool(values["optimizer.base_width"]):
    raise InputError(
      "`optimizer.base_width` must come with optimizer.parametrization mup or power, and they with "
      f"it: got {values['optimizer.base_width']} with {values['optimizer.parametrization']}."
    )
  if values["epochs"] != FIT and values["optimizer.warmup_epochs"] >= values["epochs"]:
    raise InputError(
      "`optimizer.warmup_epochs` must be less than `epochs`: expected less than "
      f"{values['epochs']}, got {values['optimizer.warmup_epochs']}."
    )


def _check_schedule(values: Mapping[str, Any]) -> None:
  """Raises `InputError` where a learning rate never falls, or branches depend on their lengths."""
  falls, epochs = list(values["optimizer.step_epochs"]), values["epochs"]
  if values["optimizer.schedule"] == "steps":
    if sorted(set(falls)) != falls:
      raise InputError(
        f"`optimizer.step_epochs` must rise: expected each after the one before, got {falls}."
      )
    if falls and epochs != FIT and falls[-1] >= epochs:
      hint = ", ".join(f"{round(epochs * share, 4):g}" for share in (27 / 36, 33 / 36))
      raise InputError(
        f"`optimizer.step_epochs` must be before the end of the run: expected less than {epochs} "
        f'epochs, got {falls}. Hint: --config.optimizer.step_epochs="({hint})", or () for none.'
      )
  is_stable = values["optimizer.schedule"] == "warmup_stable_decay"
  if is_stable and values["ema.reference_steps"]:
    raise InputError(
      "`ema.reference_steps` must be 0 with optimizer.schedule warmup_stable_decay: expected an "
      "average that does not depend on the length, got one fitted to it. Hint: "
      "--config.ema.reference_steps=0 --config.ema.decay=0.99, which averages over 100 steps."
    )
  if values["checkpoint.branch_epochs"] and not is_stable:
    raise InputError(
      "`checkpoint.branch_epochs` must come with optimizer.schedule warmup_stable_decay: got "
      f"{values['optimizer.schedule']}."
    )
