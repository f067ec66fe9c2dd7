"""Models are registered by names, from which configs and commands make them."""

import dataclasses
import fnmatch
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, overload

from hornet_jax.errors import InputError, unknown_name
from hornet_jax.models.api import Architecture
from hornet_jax.models.execution import SETTINGS, Execution, split_settings
from hornet_jax.models.features import FeatureMaps, feature_maps

Origin = Literal["paper", "ours"]


@dataclasses.dataclass(frozen=True)
class Variant:
  """A variant is a model that has a name.

  Attributes:
    constructor: class of an `Architecture`, or a function that makes one; takes `num_classes`,
      `execution` and fields of its own.
    origin: source of the model, `"paper"` for published ones, `"ours"` for all others.
    image_size: side of the images that the model is meant for, in pixels.
    fields: fields that the model sets of the architecture, by name.
  """

  constructor: Callable[..., Architecture]
  origin: Origin
  image_size: int
  fields: dict[str, Any]


VARIANTS: dict[str, Variant] = {}
"""Every model by name, in the order of registration."""

ALIASES: dict[str, str] = {}
"""What other libraries call some of them -> their name here."""


def register(
  name: str,
  constructor: Callable[..., Architecture],
  *,
  image_size: int,
  origin: Origin = "ours",
  **fields: Any,
) -> None:
  """Registers a model, so that `create_model`, configs and commands know it by its name.

  Args:
    name: name of the model; once taken, only the same constructor may register it again, as
      happens when a cell of a notebook runs twice.
    constructor: class of an `Architecture`, or a function that makes one.
    image_size: side of the images that the model is meant for, in pixels.
    origin: source of the model, `"paper"` for a published one, `"ours"` for any other.
    **fields: fields that the model sets of the architecture.

  Raises:
    InputError: if the name is taken.
  """
  known = VARIANTS.get(name)
  if name in ALIASES or (known and _full_name(known.constructor) != _full_name(constructor)):
    raise InputError(f"`name` must be new: expected a name that no model has, got {name!r}.")
  VARIANTS[name] = Variant(constructor, origin, image_size, fields)


def _full_name(constructor: Callable[..., Architecture]) -> str:
  return f"{constructor.__module__}.{getattr(constructor, '__qualname__', constructor)}"


@overload
def create_model(
  name: str,
  *,
  execution: Execution | None = None,
  features_only: Literal[False] = False,
  out_indices: None = None,
  **settings: Any,
) -> Architecture:
  """Builds the classifier."""


@overload
def create_model(
  name: str,
  *,
  execution: Execution | None = None,
  features_only: Literal[True],
  out_indices: Sequence[int] | None = None,
  **settings: Any,
) -> FeatureMaps:
  """Builds the backbone, which returns feature maps."""


def create_model(
  name: str,
  *,
  execution: Execution | None = None,
  features_only: bool = False,
  out_indices: Sequence[int] | None = None,
  **settings: Any,
) -> Architecture | FeatureMaps:
  """Builds the model of that name.

  Args:
    name: key of `VARIANTS` or `ALIASES`; `list_models()` lists the former.
    execution: the way in which it is computed; None for the defaults.
    features_only: whether to return the feature maps of the stages, without last norm and head.
    out_indices: numbers of the stages, for `features_only`, see `FeatureMaps`; None for all.
    **settings: fields of the architecture or of `Execution` to set otherwise, such as
      `num_classes` or `dtype`; `global_filter` sets `Execution.fourier`.

  Returns:
    An unbound Flax module: `model.init(key, images)`,
    `model.apply({"params": params}, images) -> (logits, out)`; with `features_only`
    `-> [features, ...]`.

  Raises:
    InputError: if the name or a field is unknown, or a value out of range.
  """
  if "pretrained" in settings:
    raise InputError(
      "`pretrained` is no field of a model: expected none, got "
      f"pretrained={settings['pretrained']!r}. Hint: model, params, preprocessing = "
      f"hornet_jax.load('official:{ALIASES.get(name, name)}')."
    )
  variant = get_variant(name)
  of_execution, fields = split_settings(settings)
  known = set(inspect.signature(variant.constructor).parameters) - {"parent", "name", "execution"}
  for field in fields:
    if field not in known:
      raise unknown_name("model field", field, known | set(SETTINGS))
  execution = dataclasses.replace(execution or Execution(), **of_execution)
  model = variant.constructor(execution=execution, **{**variant.fields, **fields})
  if features_only:
    return feature_maps(model, out_indices)
  if out_indices is not None:
    raise InputError(
      f"`out_indices` must come with features_only: expected features_only=True, got {out_indices} "
      "without. Hint: a classifier returns every stage in its second value."
    )
  return model


def get_variant(name: str) -> Variant:
  """Finds the entry of `VARIANTS` by name or alias.

  Raises:
    InputError: if the name is unknown; the nearest known names are told.
  """
  name = ALIASES.get(name, name)
  if name not in VARIANTS:
    raise unknown_name("variant", name, [*VARIANTS, *ALIASES])
  return VARIANTS[name]


def list_models(pattern: str = "*") -> list[str]:
  """Lists the models whose names match a shell pattern, such as `"*_gf*"`.

  They come in the order of registration; aliases are not among them.
  """
  return [name for name in VARIANTS if fnmatch.fnmatch(name, pattern)]
