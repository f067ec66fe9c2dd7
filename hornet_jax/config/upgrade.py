"""Configs that earlier versions wrote are brought to today's schema here."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hornet_jax.config.check import check_keys
from hornet_jax.config.flat import flatten, nest
from hornet_jax.config.key import ALWAYS_THERE
from hornet_jax.config.schema import SCHEMA, VERSION
from hornet_jax.errors import InputError


def upgrade(config: Mapping[str, Any]) -> dict[str, Any]:
  """Returns a config with the keys of today, which describes the same run.

  What a key is called, and what its values mean, changes from one version to the next; keys that
  did not exist get what runs did without them, see `Key.before`.

  Args:
    config: nested, as a workdir's config.json has it; without `version` where it is older than
      versions are.

  Raises:
    InputError: if a later version wrote it, or a key is unknown.
  """
  values = _filled(_upgrade(flatten(config)), SCHEMA)
  check_keys(values)
  return nest({name: values[name] for name in SCHEMA})


def upgrade_section(
  section: str, settings: Mapping[str, Any], names: Iterable[str] = ()
) -> dict[str, Any]:
  """Returns the settings of one section under today's names.

  Files of weights carry what a model is built of and how it looks at images, not a whole config.

  Args:
    section: name of the section, such as `"model"`.
    settings: its keys and values.
    names: keys, without the section, that get what runs did without them where they are missing.
  """
  values = _upgrade(flatten({section: settings}))
  return nest(_filled(values, [f"{section}.{name}" for name in names]))[section]


def _filled(values: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
  before = {name: SCHEMA[name].before for name in names if name not in values}
  return values | {
    name: list(value) if isinstance(value, tuple) else value
    for name, value in before.items()
    if value is not ALWAYS_THERE
  }


def _upgrade(values: dict[str, Any]) -> dict[str, Any]:
  version = values.get("version", 0)
  if not isinstance(version, int) or not 0 <= version <= VERSION:
    raise InputError(
      f"`version` must be one that this hornet_jax knows: expected at most {VERSION}, got "
      f"{version!r}. Hint: install the hornet_jax that wrote it, or a later one."
    )
  for step in _STEPS[version:]:
    values = step(values)
  return values | {"version": VERSION}


def _to_version_1(values: dict[str, Any]) -> dict[str, Any]:
  """Gives a recomputation its name, and drops what says nothing any more."""
  remat = values.get("model.remat")
  if isinstance(remat, bool):  # of each block
    values["model.remat"] = "full" if remat else "none"
  values.pop("checkpoint.executables", None)
  return values


# From each version to the next.
_STEPS: tuple[Callable[[dict[str, Any]], dict[str, Any]], ...] = (_to_version_1,)
