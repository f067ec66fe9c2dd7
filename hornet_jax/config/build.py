"""A config becomes a model here, and the view by which it looks at images."""

import dataclasses
import inspect
import logging
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from hornet_jax.config.model_fields import parse_fields
from hornet_jax.data.pixels.pixel_format import MAX_PIXELS, PixelFormat
from hornet_jax.data.views.eval_view import EvalView
from hornet_jax.errors import InputError, unknown_name
from hornet_jax.models import Architecture, create_model, get_variant
from hornet_jax.parallel.mesh import BATCH_AXES, FSDP

_logger = logging.getLogger(__name__)
_OPTIONAL = {"drop_path_rate", "patch_size"}  # of `config.model`; not every architecture has them
_FACE = ("adapt", "features", "param_info", "pictures", "stacks")
_DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def build_model(
  settings: Mapping[str, Any], data: Mapping[str, Any], num_classes: int
) -> Architecture:
  """Builds the model that `config.model` describes, and checks it against the images.

  Args:
    settings: `config.model`.
    data: `config.data`, or its `image_size` and `channels`.
    num_classes: number of classes K; 0 for no head.

  Raises:
    InputError: if a setting is unknown or the image too small.
  """
  fields = dict(settings)
  variant, dtype = fields.pop("variant"), fields.pop("dtype")
  if dtype not in _DTYPES:
    raise unknown_name("dtype", dtype, _DTYPES)
  others = parse_fields(fields.pop("fields", ""))
  if twice := sorted(others.keys() & {*settings, "num_classes"}):
    raise InputError(
      f"`model.fields` must hold what has no key of its own: got {', '.join(twice)}. Hint: "
      f"--config.model.{twice[0]}."
    )
  # Lists, where they come from JSON; a model has to be hashable.
  fields = {key: _tuples(value) for key, value in fields.items()}
  others = {key: _tuples(value) for key, value in others.items()}
  known = inspect.signature(get_variant(variant).constructor).parameters
  for name in _OPTIONAL - set(known):
    if fields.pop(name, None):
      _logger.info("%s has no %s: the config's is not used", variant, name)
  fields |= others
  model = create_model(variant, num_classes=num_classes, dtype=_DTYPES[dtype], **fields)
  if not isinstance(model, Architecture):
    missing = sorted(set(_FACE) - set(dir(model)))
    raise InputError(
      f"{variant} must be an `Architecture`, see hornet_jax/models/api.py: missing "
      f"{', '.join(missing)}."
    )
  side = data["image_size"]
  images = jax.ShapeDtypeStruct((1, side, side, data["channels"]), jnp.float32)
  jax.eval_shape(model.init, jax.random.key(0), images)
  return model


def on_mesh(model: Architecture, mesh: Mesh) -> Architecture:
  """Tells a model how its arrays lie on a mesh.

  Raises:
    InputError: if its blocks cannot gather their parameters.
  """
  fsdp = mesh.shape[FSDP] > 1
  if fsdp and not model.execution.scan:
    raise InputError(
      f"`mesh.fsdp` must come with `model.scan`: expected model.scan True for {mesh.shape[FSDP]} "
      "parts, got False."
    )
  execution = dataclasses.replace(model.execution, batch_axes=BATCH_AXES, fsdp=fsdp)
  return model.clone(execution=execution)


def _tuples(value: Any) -> Any:
  return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def build_eval_view(settings: Mapping[str, Any]) -> EvalView:
  """Builds the evaluation view that `config.data` describes."""
  return EvalView(
    image_size=settings["image_size"],
    crop_fraction=settings["eval_crop_fraction"],
    warp=settings["eval_warp"],
    imaging=settings["imaging"],
    pixel_format=PixelFormat(
      settings["channels"], settings["max_value"], settings.get("max_pixels", MAX_PIXELS)
    ),
  )
