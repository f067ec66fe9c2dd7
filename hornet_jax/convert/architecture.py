"""Which HorNet a state dict belongs to, from the shapes of its arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hornet_jax.errors import InputError
from hornet_jax.models import VARIANTS, create_model


def model_of(state_dict: Mapping[str, np.ndarray]) -> tuple[str, dict[str, Any]]:
  """Name of a variant, and what the model has otherwise.

  Shapes do not tell the factor on the filters: it is taken to be the published 1/3.

  Args:
    state_dict: official names and layouts.

  Returns:
    The variant and overriding fields for `create_model`; none for a published model.

  Raises:
    InputError: if it cannot be a HorNet's.
  """
  try:
    fields = _fields(state_dict)
  except (KeyError, IndexError, ValueError) as error:
    raise InputError(
      f"the file must hold a HorNet: expected such as 'downsample_layers.0.0.weight' and "
      f"'stages.0.0.gnconv.proj_in.weight', {error} is missing among {len(state_dict)} arrays."
    ) from error
  for name in VARIANTS:
    model = create_model(name)
    if all(_plain(getattr(model, key)) == _plain(value) for key, value in fields.items()):
      return name, {}
  return "hornet_tiny_7x7", fields


def _fields(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
  stem = state_dict["downsample_layers.0.0.weight"]
  depths, orders = [], []
  filters: list[str | tuple[int, ...]] = []
  for s in range(4):
    block = f"stages.{s}.0.gnconv"
    names = [name for name in state_dict if name.startswith(f"stages.{s}.")]
    depths.append(1 + max(int(name.split(".")[2]) for name in names))
    orders.append(1 + sum(f"{block}.pws.{k}.weight" in state_dict for k in range(8)))
    spectral = state_dict.get(f"{block}.dwconv.complex_weight")
    if spectral is None:
      height, width = state_dict[f"{block}.dwconv.weight"].shape[2:]
      filters.append(f"{height}x{width}")
    else:
      filters.append(spectral.shape[1:3])
  return {
    "base_dim": stem.shape[0],
    "patch_size": stem.shape[2],
    "depths": depths,
    "orders": orders,
    "filters": filters,
    "layer_scale_init": 1e-6 if "stages.0.0.gamma1" in state_dict else None,
  }


def _plain(value: Any) -> Any:
  return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
