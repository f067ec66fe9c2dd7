"""Smaller learning rates for earlier layers, for fine-tuning."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import traverse_util
from jaxtyping import Array

from hornet_jax.errors import InputError
from hornet_jax.models.stacking import STACKED

# Source: official optim_factory.py, `get_num_layer_for_convnext`: twelve layers for four
# stages, two blocks of the third a layer.
_LAST = 13
_STEM_AND_EARLY = {"stem": 0, "stage_0": 1, "downsample_1": 2, "stage_1": 2, "downsample_2": 3}
_LATE = {"downsample_3": 12, "stage_3": 12, "norm": _LAST, "head": _LAST}
_LAYERS = _STEM_AND_EARLY | _LATE


def layer_ids(params: Any) -> Any:
  """The official layer of each parameter, 0 for the stem to 13 for the head.

  Of stacked blocks an array that broadcasts with them, [depth, 1, ...].

  Args:
    params: of a HorNet of four stages.

  Raises:
    InputError: if the model has another number of stages.
  """
  stages = sorted(name for name in params if name.startswith("stage_"))
  if len(stages) != 4:
    raise InputError(
      "`optimizer.layer_decay` must be 1 for this model: the official layers are those of four "
      f"stages, got {len(stages)}."
    )
  paths = traverse_util.flatten_dict(params)
  return traverse_util.unflatten_dict({path: _layer_id(path, leaf) for path, leaf in paths.items()})


def _layer_id(path: tuple[str, ...], leaf: Any) -> int | np.ndarray:
  if path[0] != "stage_2":
    return _LAYERS[path[0]]
  if path[1] != STACKED:
    return min(3 + int(path[1].removeprefix("block_")) // 2, 11)
  ids = np.minimum(3 + np.arange(leaf.shape[0]) // 2, 11)
  return ids.reshape(-1, *[1] * (leaf.ndim - 1))


def scale_by_layer(decay: float) -> optax.GradientTransformation:
  """Scales the updates of layer i by decay^(13 - i), weight decay included.

  Source: official optim_factory.py, `LayerDecayValueAssigner`; the paper fine-tunes with 0.7.
  """

  def scale(updates: Any, params: Any) -> Any:
    del params

    def scaled(update: Array, layer: int | np.ndarray) -> Array:
      return update * jnp.asarray(decay ** (_LAST - layer), update.dtype)

    return jax.tree.map(scaled, updates, layer_ids(updates))

  return optax.stateless(scale)
