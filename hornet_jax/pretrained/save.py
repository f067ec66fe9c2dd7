"""A model of one's own loop is written to a file here, which `load` reads."""

import dataclasses
import inspect
import json
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util

from hornet_jax.convert.converted import differences, listed
from hornet_jax.data.views.preprocess import Preprocessing
from hornet_jax.errors import InputError
from hornet_jax.models import VARIANTS, Architecture
from hornet_jax.models.stacking import unstack_blocks
from hornet_jax.paths import check_reachable, expanded
from hornet_jax.pretrained.spec import ModelSpec
from hornet_jax.pretrained.weights_file import check_file, write_model

_NOT_OF_THE_VARIANT = ("parent", "name", "num_classes", "execution", "in_channels")


def save(
  path: str | os.PathLike[str],
  model: Architecture,
  params: Mapping[str, Any],
  preprocessing: Preprocessing,
) -> None:
  """Writes a trained classifier to one safetensors file: `load(path)` gives it back.

  Args:
    path: path of the file, which ends in `.safetensors`; another one there is replaced.
    model: classifier, as `create_model` makes it; from its name and fields `load` makes it anew.
    params: its parameters, on the devices or the host, blocks apart or stacked.
    preprocessing: what makes its inputs of images, with a name for each class; that of a loaded
      model, or one of `hornet_jax.data.views.preprocess.Preprocessing`.

  Raises:
    InputError: if the parameters are not those of the model, the classes have no names, or the
      model is none that has a name.
  """
  check_reachable(os.fspath(path))
  file = expanded(os.fspath(path), "path")
  if len(preprocessing.class_names) != model.num_classes:
    raise InputError(
      f"`preprocessing` must name the classes: expected {model.num_classes} class_names, got "
      f"{len(preprocessing.class_names)}. Hint: dataclasses.replace(preprocessing, "
      "class_names=...)."
    )
  apart = unstack_blocks({"params": dict(params)})["params"]
  view = preprocessing.view
  pixels = view.pixel_format
  images = jnp.zeros((1, view.image_size, view.image_size, pixels.channels))
  wanted = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
  problems = differences(wanted, apart)
  if problems:
    raise InputError(
      f"`params` must be those of the model: {listed(problems)}. Hint: `variables['params']`."
    )
  data = {
    "image_size": view.image_size,
    "eval_crop_fraction": view.crop_fraction,
    "eval_warp": view.warp,
    "imaging": view.imaging,
    "channels": pixels.channels,
    "max_value": pixels.max_value,
    "mean": [float(value) for value in preprocessing.mean],
    "std": [float(value) for value in preprocessing.std],
  }
  check_file(file)
  host = traverse_util.unflatten_dict(
    {key: jax.device_get(leaf) for key, leaf in traverse_util.flatten_dict(apart).items()}
  )
  spec = ModelSpec(describe_model(model), data, list(preprocessing.class_names))
  write_model(file, spec, host, {})


def describe_model(model: Architecture) -> dict[str, Any]:
  """Finds the name of a model, and the fields in which it differs: keys of `config.model`.

  Raises:
    InputError: if no model of its class has a name, or a field is not plain.
  """
  fields = _own_fields(model)
  found: list[dict[str, Any]] = []
  for name, variant in VARIANTS.items():
    if variant.constructor is not type(model):
      continue
    known = _own_fields(variant.constructor(**variant.fields))
    found.append({"variant": name} | {k: v for k, v in fields.items() if known[k] != v})
  if not found:
    raise InputError(
      f"`model` must be of a class that has a name: expected one of hornet_jax.list_models(), got "
      f"{type(model).__name__}. Hint: hornet_jax.register."
    )
  settings = min(found, key=len)
  try:
    json.dumps(settings)
  except TypeError as error:
    raise InputError(f"`model` must have plain fields: {error}.") from error
  execution = model.execution
  dtype = jnp.dtype(execution.dtype).name
  return {**settings, "dtype": dtype, "global_filter": execution.fourier, "scan": execution.scan}


def _own_fields(model: Architecture) -> dict[str, Any]:
  names = inspect.signature(type(model)).parameters.keys() - set(_NOT_OF_THE_VARIANT)
  return {
    field.name: getattr(model, field.name)
    for field in dataclasses.fields(model)  # type: ignore[arg-type]
    if field.name in names
  }
