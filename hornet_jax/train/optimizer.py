"""This is the paper's recipe in optax: AdamW and what it decays."""

import functools
from collections.abc import Callable
from typing import Any

import optax

from hornet_jax.errors import unknown_name
from hornet_jax.models.param_info import ParamInfoOf, Role, map_params
from hornet_jax.train.layer_decay import scale_by_layer, scale_by_stage
from hornet_jax.train.width_scaling import UNSCALED, WidthScaling

_MU_DTYPES = ("float32", "bfloat16")


_NOT_DECAYED = (Role.NORM, Role.BIAS, Role.LAYER_SCALE)


def decay_mask(param_info: ParamInfoOf, params: Any) -> Any:
  """Marks the parameters that weight decay applies to.

  Kernels and spectral filters are decayed; norms, biases and layer scales are not.

  Source: official optim_factory.py, `get_parameter_groups`.

  Args:
    param_info: description of the architecture's parameters.
    params: arrays, or what describes them; blocks apart or stacked.
  """
  return map_params(lambda info, _: info.role not in _NOT_DECAYED, param_info, params)


def head_only(param_info: ParamInfoOf, params: Any) -> Any:
  """Marks the parameters of what the task puts on the backbone."""
  return map_params(lambda info, _: info.of_task, param_info, params)


def adamw(
  param_info: ParamInfoOf,
  *,
  b1: float,
  b2: float,
  eps: float,
  weight_decay: float,
  clip_norm: float,
  mu_dtype: str = "float32",
  layer_decay: float = 1.0,
  layer_decay_by: str = "layer",
  stage_decay_layers: int = 12,
  assumed_layers: int = 0,
  trainable: Callable[[Any], Any] | None = None,
  scaling: WidthScaling = UNSCALED,
) -> optax.GradientTransformation:
  """Makes clipping by the global L2 norm, then AdamW at a learning rate of 1.

  The train step scales the updates by the learning rate of its own step number.

  Source: official main.py and torch's AdamW: decoupled decay, scaled by the schedule.
  Deviation: the official clip divides by the norm plus 1e-6 and ignores limits up to
  0.1.

  Args:
    param_info: description of the architecture's parameters.
    b1: decay of the first moment.
    b2: decay of the second moment.
    eps: added to the root of the second moment.
    weight_decay: decay of the parameters that `decay_mask` names.
    clip_norm: largest norm of the gradient; 0 for no clipping.
    mu_dtype: type in which the first moment is kept, `"float32"` or `"bfloat16"`.
    layer_decay: factor of the learning rate from each layer to the one before, see
      `scale_by_layer`; 1 for none.
    layer_decay_by: `"layer"`, or `"stage"` for `scale_by_stage`.
    stage_decay_layers: see `scale_by_stage`.
    assumed_layers: see `scale_by_layer`.
    trainable: params -> tree of bools; the others get no update and need no moments. None
      for all.
    scaling: factors of the learning rates, which leave learning rate times decay as it is.
  """
  if mu_dtype not in _MU_DTYPES:
    raise unknown_name("mu_dtype", mu_dtype, _MU_DTYPES)
  mask = functools.partial(decay_mask, param_info)
  tx = optax.chain(
    optax.scale_by_adam(b1, b2, eps, mu_dtype=mu_dtype),
    *([scaling.scale_updates()] if scaling.rates else []),
    optax.add_decayed_weights(weight_decay, mask),
    optax.scale_by_learning_rate(1.0),
  )
  if trainable is not None:
    transforms = {True: tx, False: optax.set_to_zero()}
    tx = optax.partition(transforms, trainable)
  clip = [optax.clip_by_global_norm(clip_norm)] if clip_norm > 0 else []
  if layer_decay == 1:
    return optax.chain(*clip, tx)
  if layer_decay_by == "stage":
    return optax.chain(*clip, tx, scale_by_stage(param_info, layer_decay, stage_decay_layers))
  return optax.chain(*clip, tx, scale_by_layer(param_info, layer_decay, assumed_layers))
