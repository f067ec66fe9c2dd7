"""This module reads a published checkpoint of any library as a model of this package."""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from hornet_jax.convert.architecture import (
  is_whole,
  nearest_variant,
  other_fields,
  problems_of,
  read_fields,
)
from hornet_jax.convert.keras_cv_attention_models import read_keras_file
from hornet_jax.convert.mmpretrain import is_mmpretrain, official_from_mmpretrain
from hornet_jax.convert.official import params_from_official
from hornet_jax.convert.torch_file import read_torch_file
from hornet_jax.errors import InputError, unknown_name
from hornet_jax.models import get_variant

SUFFIXES = (".pth", ".pt", ".h5")
WEIGHTS = ("raw", "ema")
_LISTED = 20
# What DistributedDataParallel, torch.compile and Lightning put before names, in any order.
_WRAPPERS = re.compile(r"^((module|_orig_mod|model)\.)+")
_IMAGENET_CLASSES = 1000


@dataclasses.dataclass(frozen=True)
class Converted:
  """A `Converted` is a model from a published checkpoint.

  Attributes:
    variant: name of the model.
    overrides: fields in which it differs from the variant.
    num_classes: width K of its head; 0 for none.
    image_size: side of the variant's images in pixels.
    params: parameter tree of this package, float32.
    sources: path in the tree -> name in the file of the array that it was made of.
  """

  variant: str
  overrides: dict[str, Any]
  num_classes: int
  image_size: int
  params: dict[str, Any]
  sources: dict[str, str]


class MismatchError(InputError):
  """A `MismatchError` says that a checkpoint does not hold the model that it should.

  Attributes:
    problems: lines on every array that is missing, left over or of another shape; the message has
      the first few.
  """

  def __init__(self, message: str, problems: Sequence[str]):
    """Keeps all problems beside the message, which has no room for them."""
    super().__init__(message)
    self.problems = problems


def read_checkpoint(
  path: pathlib.Path,
  weights: str = "raw",
  *,
  variant: str | None = None,
  any_architecture: bool = False,
) -> Converted:
  """Reads an official or mmpretrain `.pth`, or a keras_cv_attention_models `.h5`.

  Args:
    path: path of the file.
    weights: choice where the file has both: `"raw"` for the weights that the official evaluation
      loads (under `model`), or `"ema"` for their moving average (under `model_ema`).
    variant: name of the model that it must hold; None for any published one.
    any_architecture: whether it may instead hold a HorNet of other widths, depths, orders or
      filters than the published ones, or one without a head or layer scale. What a cut file
      lacks may then pass for such a model.

  Raises:
    MismatchError: if its arrays are not exactly those of the model; what is missing, left over or
      of another shape is listed.
    InputError: if the file cannot be read.
  """
  if weights not in WEIGHTS:
    raise unknown_name("weights", weights, WEIGHTS)
  entries = _read(path, weights)
  sources = {official: source for source, (official, _) in entries.items()}
  state_dict = dict(entries.values())
  if len(state_dict) < len(entries):
    twice = sorted(source for source, (name, _) in entries.items() if sources[name] != source)
    raise InputError(f"{path} must hold each array once: {', '.join(twice[:20])} twice.")
  fields = read_fields(state_dict)
  own = any_architecture and variant is None and is_whole(fields)
  name = variant or nearest_variant(fields)
  overrides = other_fields(name, fields) if own else {}
  num_classes = _num_classes(state_dict, missing=0 if own else _IMAGENET_CLASSES)
  problems = problems_of(state_dict, name, num_classes, overrides)
  if problems:
    message = _message(path, state_dict, (name, overrides), problems, fields)
    raise MismatchError(message, problems)
  params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), params_from_official(state_dict))
  size = get_variant(name).image_size
  return Converted(name, overrides, num_classes, size, params, _by_path(sources, state_dict))


def _read(path: pathlib.Path, weights: str) -> dict[str, tuple[str, np.ndarray]]:
  """Reads the arrays: name in the file -> (official name, array in official layout)."""
  if path.suffix == ".h5":
    return read_keras_file(path)
  tensors = read_torch_file(path, lambda content: _select(content, weights, path))
  names = {name: _WRAPPERS.sub("", name) for name in tensors}
  rename = official_from_mmpretrain if is_mmpretrain(names.values()) else str
  return {name: (rename(names[name]), value) for name, value in tensors.items()}


def _num_classes(state_dict: Mapping[str, np.ndarray], missing: int) -> int:
  found = [state_dict[name] for name in ("head.bias", "head.weight") if name in state_dict]
  return len(found[0]) if found and found[0].ndim else missing


def _by_path(sources: Mapping[str, str], state_dict: Mapping[str, np.ndarray]) -> dict[str, str]:
  """Returns for each path of our tree the name in the file of the array that it came from."""
  found: dict[str, str] = {}
  for official, source in sources.items():
    part = params_from_official({official: state_dict[official]})
    found |= dict.fromkeys(traverse_util.flatten_dict(part, sep="/"), source)
  return found


def _message(
  path: pathlib.Path,
  state_dict: Mapping[str, np.ndarray],
  model: tuple[str, Mapping[str, Any]],
  problems: list[str],
  fields: Mapping[str, Any],
) -> str:
  if not fields:
    found = ", ".join(list(state_dict)[:3]) or "none"
    return (
      f"{path} must hold a HorNet: expected arrays such as downsample_layers.0.0.weight and "
      f"stages.0.0.gnconv.proj_in.weight, got {found[:200]} among {len(state_dict)}."
    )
  variant, overrides = model
  message = f"{path} must hold {in_words(*model)}, whole and nothing else: {listed(problems)}."
  others = other_fields(variant, fields)
  if others and not overrides and is_whole(fields):
    message += (
      f" Hint: it looks like {in_words(variant, others)}; where that is meant, "
      "`hornet convert --any_architecture` makes a file of it that the other commands read."
    )
  return message


def in_words(variant: str, overrides: Mapping[str, Any]) -> str:
  """Describes a model in words."""
  differing = ", ".join(f"{key} {value}" for key, value in overrides.items())
  return f"{variant}{f' with {differing}' if differing else ''}"


def _select(content: Any, weights: str, path: pathlib.Path) -> dict[str, Any]:
  """Picks the state dict out of a checkpoint's content. Source: official main.py, --model_key."""
  keys = ("model_ema", "ema_state_dict") if weights == "ema" else ("model", "module", "state_dict")
  if isinstance(content, Mapping):
    found: Any = next((content[key] for key in keys if isinstance(content.get(key), Mapping)), None)
    if found is None and weights == "raw" and any("." in str(key) for key in content):
      found = content
    while found is not None and any(isinstance(found.get(key), Mapping) for key in keys):
      found = next(found[key] for key in keys if isinstance(found.get(key), Mapping))
    if found is not None:
      unnamed = [key for key in found if not isinstance(key, str)]
      if unnamed:
        raise InputError(
          f"{path} must hold weights by their names: expected such as "
          f"'downsample_layers.0.0.weight', got {unnamed[0]!r:.50}."
        )
      return dict(found)
  held = ", ".join(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
  raise InputError(f"{path} must hold weights under {' or '.join(keys)}: it holds {held[:200]}.")


def differences(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
  """Lists the paths of two parameter trees that are missing, left over or of other shapes."""
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
  """Returns the first few problems as text, and the number of the others."""
  more = f" and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
  return f"{'; '.join(problems[:_LISTED])}{more}"
