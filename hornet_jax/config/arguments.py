"""Config files read the argument behind their colon by these functions."""

from collections.abc import Mapping
from typing import Any

from hornet_jax.errors import unknown_name


def parse_arg(arg: str, **defaults: str | bool) -> dict[str, Any]:
  """Parses what follows the colon of `--config=NAME:variant=tiny_gf,runlocal`.

  Args:
    arg: comma-separated `key=value` or, for switches, `key`.
    **defaults: known keys and their values; False for switches.

  Returns:
    A value for every known key.

  Raises:
    InputError: if a key is unknown or a value is missing.
  """
  parsed = dict(defaults)
  for part in filter(None, arg.split(",")):
    key, separator, value = part.partition("=")
    if key not in defaults or isinstance(defaults[key], bool) == bool(separator):
      known = [k if isinstance(v, bool) else f"{k}=..." for k, v in defaults.items()]
      raise unknown_name("config argument", part, known)
    parsed[key] = value if separator else True
  return parsed


def choose(kind: str, name: str, table: Mapping[str, Any]) -> Any:
  """Returns `table[name]`.

  Args:
    kind: what the name stands for, such as `"variant"`.
    name: name that was given.
    table: value of each known name.

  Raises:
    InputError: if the name is unknown; it lists those of the table.
  """
  if name not in table:
    raise unknown_name(kind, name, table)
  return table[name]


def model_name(variant: str) -> str:
  """Completes the name of a model: `tiny_gf` stands for `hornet_tiny_gf`.

  Args:
    variant: name without `hornet_`, or the whole name of any model.
  """
  from hornet_jax.models import VARIANTS  # late: config files are listed without Flax

  return variant if variant in VARIANTS else f"hornet_{variant}"


def patch_size(variant: str, of_stages: int) -> int:
  """Gives the side of the patches for a model, in pixels.

  The patches of an isotropic model are the grid on which all of it works, so that it keeps its own.

  Args:
    variant: whole name of the model.
    of_stages: side for models whose stages have ever coarser grids.
  """
  from hornet_jax.models import create_model

  features = create_model(variant).features()
  return features[0].stride if len(features) == 1 else of_stages
