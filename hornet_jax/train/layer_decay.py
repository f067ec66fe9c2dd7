"""Earlier layers have smaller learning rates, for fine-tuning."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from hornet_jax.errors import InputError
from hornet_jax.models.param_info import ParamInfo, ParamInfoOf, map_block_params, map_params


def layer_ids(param_info: ParamInfoOf, params: Any) -> Any:
  """Tells the layer of each parameter, from 0 for the first.

  Args:
    param_info: description of the architecture's parameters.
    params: arrays, or what describes them; blocks apart or stacked.

  Returns:
    Whole numbers; of stacked blocks an array that broadcasts with them, [depth, 1, ...].

  Raises:
    InputError: if the architecture has no layers.
  """

  def layer_id(infos: list[ParamInfo], leaf: Any) -> int | np.ndarray:
    layers = [info.layer for info in infos if info.layer is not None]
    if len(layers) < len(infos):
      raise InputError(
        "`optimizer.layer_decay` must be 1 for this model: expected an architecture whose "
        "parameters have layers, as those of four stages do, got one without."
      )
    if len(layers) == 1:
      return layers[0]
    return np.reshape(layers, (-1, *[1] * (leaf.ndim - 1)))

  return map_block_params(layer_id, param_info, params)


def check_layers(param_info: ParamInfoOf, params: Any, by: str) -> None:
  """Raises `InputError` where an architecture has no layers, or no stages, to decay by.

  Args:
    param_info: description of the architecture's parameters.
    params: arrays, or what describes them; blocks apart or stacked.
    by: `"layer"` or `"stage"`.
  """
  if by == "layer":
    layer_ids(param_info, params)
    return
  stages = map_params(lambda info, _: info.stage is not None, param_info, params)
  if not any(jax.tree.leaves(stages)):
    raise InputError(
      "`optimizer.layer_decay_by` must be layer for this model: expected an architecture whose "
      "parameters have stages, got one without."
    )


def scale_by_layer(param_info: ParamInfoOf, decay: float) -> optax.GradientTransformation:
  """Scales the updates of layer i of n by decay^(n - 1 - i), weight decay included.

  Source: official optim_factory.py, `LayerDecayValueAssigner`; the paper fine-tunes with 0.7.
  """

  def scale(updates: Any, params: Any) -> Any:
    del params
    layers = layer_ids(param_info, updates)

    def scaled(infos: list[ParamInfo], update: Array, layer: int | np.ndarray) -> Array:
      return update * jnp.asarray(decay ** (infos[0].num_layers - 1 - layer), update.dtype)

    return map_block_params(scaled, param_info, updates, layers)

  return optax.stateless(scale)


def scale_by_stage(
  param_info: ParamInfoOf, decay: float, num_layers: int
) -> optax.GradientTransformation:
  """Scales the updates of stage s, from 1, by decay^(num_layers + 1 - s), weight decay included.

  What lies before and between stages is stage 0; what lies behind them is not scaled.

  Source: the official learning-rate constructor for segmentation, `stage_wise`.

  Args:
    param_info: description of the architecture's parameters.
    decay: factor from a stage to the one before it.
    num_layers: number n that stands for the depth; 12 in most official configs, and 6.
  """

  def scale(updates: Any, params: Any) -> Any:
    del params

    def scaled(info: ParamInfo, update: Array) -> Array:
      power = 0 if info.stage is None else num_layers + 1 - info.stage
      return update * jnp.asarray(decay**power, update.dtype)

    return map_params(scaled, param_info, updates)

  return optax.stateless(scale)
