"""A config says how learning rates and initial values follow the width."""

from collections.abc import Mapping, Sequence
from typing import Any

from hornet_jax.config.width import fields_at_width, read_width
from hornet_jax.models import Architecture
from hornet_jax.tasks.build import build_task
from hornet_jax.train.state import abstract_params
from hornet_jax.train.width_scaling import UNSCALED, WidthScaling, maximal_update, power_rule


def make_width_scaling(
  config: Mapping[str, Any],
  model: Architecture,
  image_shape: Sequence[int],
  num_classes: int,
) -> WidthScaling:
  """Makes the scaling that `optimizer.parametrization` names.

  Args:
    config: nested, with the keys of `config.schema`.
    model: model that the config describes.
    image_shape: (B, H, W, C) of a batch.
    num_classes: number of classes of the dataset.

  Raises:
    InputError: if there is no such model at `optimizer.base_width`.
  """
  settings, optimizer = config["model"], config["optimizer"]
  base_width = optimizer["base_width"]
  if optimizer["parametrization"] == "standard":
    return UNSCALED
  params = abstract_params(model, image_shape)
  variant, fields = settings["variant"], settings["fields"]
  if optimizer["parametrization"] == "power":
    growth = read_width(variant, fields) / base_width
    return power_rule(params, growth, optimizer["width_exponent"])
  fields = fields_at_width(variant, fields, base_width)
  base_config = {**config, "model": {**settings, "fields": fields}}
  _, base_model = build_task(base_config, num_classes)
  base_params = abstract_params(base_model, image_shape)
  return maximal_update(model.param_info, params, base_params)
