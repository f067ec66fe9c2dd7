"""This module tells which HorNet a state dict belongs to, from names and shapes of its arrays."""

import collections
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from hornet_jax.convert.to_official import official_from_params, zeros_of
from hornet_jax.models import VARIANTS, Architecture, HorNet, create_model, get_variant

_NUM_STAGES = 4


def read_fields(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Reads the fields of a model, as `create_model` takes them, off the arrays.

  A field that they do not tell, as where a stage is missing, is left out. Shapes do not tell
  the factor on the filters: it is taken to be the published 1/3.

  Args:
    state_dict: arrays with official names and layouts.
  """
  stages: dict[int, dict[int, dict[str, np.ndarray]]] = collections.defaultdict(
    lambda: collections.defaultdict(dict)
  )
  for name, value in state_dict.items():
    if match := re.fullmatch(r"stages\.(\d)\.(\d+)\.(.+)", name):
      stages[int(match[1])][int(match[2])][match[3]] = value
  fields: dict[str, Any] = {}
  stem = state_dict.get("downsample_layers.0.0.weight")
  if stem is not None and np.ndim(stem) == 4 and stem.size:
    fields |= {"base_dim": stem.shape[0], "patch_size": stem.shape[2]}
  if sorted(stages) == list(range(_NUM_STAGES)):
    in_order = [stages[s] for s in range(_NUM_STAGES)]
    fields["depths"] = [len(blocks) for blocks in in_order]
    fields["orders"] = [_order(blocks) for blocks in in_order]
    filters = [_filter(blocks) for blocks in in_order]
    if all(filters):
      fields["filters"] = filters
    scaled = any(name.endswith((".gamma1", ".gamma2")) for name in state_dict)
    fields["layer_scale_init"] = 1e-6 if scaled else None
  return fields


def nearest_variant(
  fields: Mapping[str, Any], constructor: Callable[..., Architecture] = HorNet
) -> str:
  """Returns the published model of an architecture that agrees with most of the fields."""
  published = [
    name
    for name, variant in VARIANTS.items()
    if variant.constructor is constructor and variant.origin == "paper"
  ]
  return max(published, key=lambda name: len(fields) - len(other_fields(name, fields)))


def other_fields(variant: str, fields: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the fields in which a model differs from a variant."""
  model = create_model(variant)
  return {
    key: value for key, value in fields.items() if _plain(getattr(model, key)) != _plain(value)
  }


def is_whole(fields: Mapping[str, Any]) -> bool:
  """Returns whether the fields are all that a model needs."""
  return fields.keys() >= {"base_dim", "depths", "filters"}


def problems_of(
  state_dict: Mapping[str, np.ndarray],
  variant: str,
  num_classes: int,
  overrides: Mapping[str, Any],
) -> list[str]:
  """Lists each array of a state dict that is missing, left over or of another shape.

  Args:
    state_dict: arrays with official names and layouts.
    variant: name of the model that the arrays should be of.
    num_classes: width of its head; 0 for none.
    overrides: fields in which it differs from the variant.
  """
  model = create_model(variant, num_classes=num_classes, **overrides)
  size = get_variant(variant).image_size
  images = jax.ShapeDtypeStruct((1, size, size, 3), np.float32)
  params = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
  wanted = official_from_params(zeros_of(params))
  return misfits(state_dict, {name: value.shape for name, value in wanted.items()})


def misfits(
  state_dict: Mapping[str, np.ndarray], wanted: Mapping[str, tuple[int, ...]]
) -> list[str]:
  """Lists each array that is missing, left over, of another shape or not finite.

  Args:
    state_dict: arrays by name.
    wanted: names and shapes that they should have; a 1x1 convolution may be a linear layer.
  """
  problems = [f"{name} is missing" for name in wanted.keys() - state_dict.keys()]
  problems += [f"{name} is left over" for name in state_dict.keys() - wanted.keys()]
  for name, value in state_dict.items():
    if name in wanted and _without_ones(value.shape) != _without_ones(wanted[name]):
      problems.append(f"{name} is {value.shape} instead of {wanted[name]}")
    elif not np.isfinite(value).all():
      problems.append(f"{name} is not finite")
  return sorted(problems)


def _order(blocks: Mapping[int, Mapping[str, np.ndarray]]) -> int:
  """Returns the order of a stage, by the block with the most convolutions `pws`."""
  return 1 + max(sum(".pws." in name for name in block) // 2 for block in blocks.values())


def _filter(blocks: Mapping[int, Mapping[str, np.ndarray]]) -> str | tuple[int, ...] | None:
  for block in blocks.values():
    spectral, spatial = block.get("gnconv.dwconv.complex_weight"), block.get("gnconv.dwconv.weight")
    if spectral is not None and spectral.ndim == 4 and spectral.size:
      return spectral.shape[1:3]
    if spatial is not None and spatial.ndim == 4 and spatial.size:
      return f"{spatial.shape[2]}x{spatial.shape[3]}"
  return None


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
  """Drops the ones of a 1x1 convolution, which libraries store as a linear layer or as itself."""
  return shape[:2] if len(shape) == 4 and shape[2:] == (1, 1) else shape


def _plain(value: Any) -> Any:
  return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
