"""A published checkpoint of any library, as a model of ours."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from hornet_jax.convert.architecture import model_of
from hornet_jax.convert.keras_cv_attention_models import read_keras_file
from hornet_jax.convert.mmpretrain import is_mmpretrain, official_from_mmpretrain
from hornet_jax.convert.official import params_from_official
from hornet_jax.convert.torch_file import read_torch_file
from hornet_jax.errors import InputError, unknown_name
from hornet_jax.models import create_model, get_variant

SUFFIXES = (".pth", ".pt", ".h5")
WEIGHTS = ("raw", "ema")
_LISTED = 5


@dataclasses.dataclass(frozen=True)
class Converted:
  """A model from a published checkpoint.

  Attributes:
    variant: name of the model.
    overrides: fields in which it differs from the variant.
    num_classes: K of its head; 0 for none.
    image_size: the variant's, in pixels.
    params: float32, in our tree.
  """

  variant: str
  overrides: dict[str, Any]
  num_classes: int
  image_size: int
  params: dict[str, Any]


def read_checkpoint(path: pathlib.Path, weights: str = "raw") -> Converted:
  """Reads an official or mmpretrain `.pth`, or a keras_cv_attention_models `.h5`.

  Args:
    path: of the file.
    weights: `"raw"` for the weights that the official evaluation loads (under `model`), or
      `"ema"` for their moving average (under `model_ema`), where the file has both.

  Raises:
    InputError: if the file cannot be read, or its arrays are not exactly those of a HorNet;
      missing ones, left over ones and other shapes are listed.
  """
  if weights not in WEIGHTS:
    raise unknown_name("weights", weights, WEIGHTS)
  if path.suffix == ".h5":
    state_dict = read_keras_file(path)
  else:
    state_dict = read_torch_file(path, lambda content: _select(content, weights, path))
    if is_mmpretrain(state_dict):
      state_dict = official_from_mmpretrain(state_dict)
  variant, overrides = model_of(state_dict)
  num_classes = len(state_dict["head.bias"]) if "head.bias" in state_dict else 0
  params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), params_from_official(state_dict))
  model = create_model(variant, num_classes=num_classes, **overrides)
  size = get_variant(variant).image_size
  images = jax.ShapeDtypeStruct((1, size, size, 3), np.float32)
  wanted = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
  problems = differences(wanted, params)
  problems += [
    f"{name} is not finite" for name, value in state_dict.items() if not np.isfinite(value).all()
  ]
  if problems:
    raise InputError(f"{path} must hold {variant}, whole and nothing else: {listed(problems)}.")
  return Converted(variant, overrides, num_classes, size, params)


def _select(content: Any, weights: str, path: pathlib.Path) -> dict[str, Any]:
  """The state dict among what else a checkpoint holds. Source: official main.py, --model_key."""
  keys = ("model_ema", "ema_state_dict") if weights == "ema" else ("model", "module", "state_dict")
  if isinstance(content, Mapping):
    for key in keys:
      if isinstance(content.get(key), Mapping):
        return dict(content[key])
    if weights == "raw" and any("." in str(key) for key in content):
      return dict(content)
  found = ", ".join(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
  raise InputError(f"{path} must hold weights under {' or '.join(keys)}: it holds {found[:200]}.")


def differences(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
  """What two trees of parameters differ in: paths missing, left over or of other shapes."""
  expected = traverse_util.flatten_dict(dict(wanted), sep="/")
  got = traverse_util.flatten_dict(dict(given), sep="/")
  problems = [f"{path} is missing" for path in expected.keys() - got.keys()]
  problems += [f"{path} is left over" for path in got.keys() - expected.keys()]
  problems += [
    f"{path} is {got[path].shape} instead of {leaf.shape}"
    for path, leaf in expected.items()
    if path in got and got[path].shape != leaf.shape
  ]
  return sorted(problems)


def listed(problems: list[str]) -> str:
  """The first few, and how many more."""
  more = f" and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
  return f"{'; '.join(problems[:_LISTED])}{more}"
