"""A new head on a model that has been trained."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Key

from hornet_jax.errors import InputError
from hornet_jax.models.hornet import HorNet, head


def reset_classifier(
  model: HorNet, params: Mapping[str, Any], num_classes: int, key: Key[Array, ""]
) -> tuple[HorNet, dict[str, Any]]:
  """Gives a model a new head, initialised as the model does: normal weights, zero bias.

  Args:
    model: of any number of classes, 0 included.
    params: its parameters; they are not changed.
    num_classes: K of the new head; 0 for none.
    key: of the head's weights.

  Returns:
    The model for `num_classes`, and its parameters: all but the head are those given,
    not copies.

  Raises:
    InputError: if `params` are not those of the model, it is no HorNet or `num_classes`
      is no whole number.
  """
  if not isinstance(model, HorNet):
    raise InputError(
      f"`model` must be a HorNet: got {type(model).__name__}, which has no head. Hint: the "
      "`model` of a HorNetFeatures is one."
    )
  width = model.base_dim * 2 ** (len(model.depths) - 1)
  if "norm" not in params or params["norm"]["scale"].shape != (width,):
    raise InputError(
      "`params` must be those of the model: expected such as 'stem', 'stage_0' and a 'norm' of "
      f"width {width}, got {', '.join(map(repr, params))}. Hint: "
      "model.init(key, images)['params']."
    )
  new_model = model.clone(num_classes=num_classes)
  new_model.check_fields()
  new_params = {name: tree for name, tree in params.items() if name != "head"}
  if num_classes:
    pre_logits = jnp.zeros((1, width))
    layer = head(num_classes, model.head_init_scale)
    new_params["head"] = layer.init(key, pre_logits)["params"]
  return new_model, new_params
