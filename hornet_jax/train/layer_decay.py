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

  What a task puts on a backbone, such as a neck, is of the last layer, that of a classifier.

  Args:
    param_info: description of the architecture's parameters.
    params: arrays, or what describes them; blocks apart or stacked.

  Returns:
    Whole numbers; of stacked blocks an array that broadcasts with them, [depth, 1, ...].

  Raises:
    InputError: if the architecture has no layers.
  """
  numbers = map_params(lambda info, _: info.num_layers, param_info, params)
  last = max(jax.tree.leaves(numbers)) - 1

  def layer_id(infos: list[ParamInfo], leaf: Any) -> int | np.ndarray:
    layers = [last if _is_behind(info) else info.layer for info in infos]
    found = [layer for layer in layers if layer is not None]
    if last < 0 or len(found) < len(infos):
      raise InputError(
        "`optimizer.layer_decay` must be 1 for this model: expected an architecture whose "
        "parameters have layers, as those of four stages do, got one without."
      )
    if len(found) == 1:
      return found[0]
    return np.reshape(found, (-1, *[1] * (leaf.ndim - 1)))

  return map_block_params(layer_id, param_info, params)


def _is_behind(info: ParamInfo) -> bool:
  """Tells whether a task put a parameter behind all layers of a backbone."""
  return info.of_task and info.layer is None


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


def scale_by_layer(
  param_info: ParamInfoOf, decay: float, assumed_layers: int = 0
) -> optax.GradientTransformation:
  """Scales the updates of layer i of n by decay^(n - 1 - i), weight decay included.

  Source: official optim_factory.py, `LayerDecayValueAssigner`; the paper fine-tunes with 0.7. The
  official learning-rate constructor for detection, `layer_wise`, where its `num_layers` is n - 2.

  Args:
    param_info: description of the architecture's parameters.
    decay: factor from a layer to the one before it.
    assumed_layers: number a of layers that stands for the model's, without the one before and the
      one behind them: layer i is scaled by decay^(a + 1 - i), which is above 1 for i > a + 1, and
      the last one by 1. So do the official configs of HorFPN for detection, with 6 for models of
      12. 0 for the model's own, n - 2.
  """

  def scale(updates: Any, params: Any) -> Any:
    del params
    layers = layer_ids(param_info, updates)

    def scaled(infos: list[ParamInfo], update: Array, layer: int | np.ndarray) -> Array:
      if _is_behind(infos[0]):
        return update
      last = infos[0].num_layers - 1
      behind = assumed_layers + 1 if assumed_layers else last
      powers = np.where(np.equal(layer, last), 0, behind - np.asarray(layer))
      return update * jnp.asarray(float(decay) ** powers, update.dtype)

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
