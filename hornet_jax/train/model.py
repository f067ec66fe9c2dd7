"""The model that a config describes, and how it looks at images."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from hornet_jax.data.eval_view import EvalView
from hornet_jax.errors import InputError, unknown_name
from hornet_jax.models import HorNet, create_model
from hornet_jax.train.mesh import BATCH_AXES, FSDP

_DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def build_model(settings: Mapping[str, Any], image_size: int, num_classes: int) -> HorNet:
  """The model that `config.model` describes, checked against the image size.

  Raises:
    InputError: if a setting is unknown or the image too small.
  """
  fields = dict(settings)
  variant, dtype = fields.pop("variant"), fields.pop("dtype")
  if dtype not in _DTYPES:
    raise unknown_name("dtype", dtype, _DTYPES)
  # Lists, where they come from JSON; a model has to be hashable.
  fields = {key: _tuples(value) for key, value in fields.items()}
  model = create_model(variant, num_classes=num_classes, dtype=_DTYPES[dtype], **fields)
  images = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
  jax.eval_shape(model.init, jax.random.key(0), images)
  return model


def on_mesh(model: HorNet, mesh: Mesh) -> HorNet:
  """The same model, told how its arrays lie on a mesh.

  Raises:
    InputError: if its blocks cannot gather their parameters.
  """
  gather = mesh.shape[FSDP] > 1
  if gather and not model.scan:
    raise InputError(
      f"`mesh.fsdp` must come with `model.scan`: expected model.scan True for {mesh.shape[FSDP]} "
      "parts, got False."
    )
  return model.clone(batch_axes=BATCH_AXES, gather=gather)


def _tuples(value: Any) -> Any:
  return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def build_eval_view(settings: Mapping[str, Any]) -> EvalView:
  """The evaluation view that `config.data` describes."""
  return EvalView(
    image_size=settings["image_size"],
    crop_fraction=settings["eval_crop_fraction"],
    warp=settings["eval_warp"],
    imaging=settings["imaging"],
  )
