"""This module reads a published checkpoint of any library as a model of this package."""

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
from hornet_jax.convert.converted import Converted, in_words, listed
from hornet_jax.convert.detection import is_mmdet, network_from_mmdet
from hornet_jax.convert.keras_cv_attention_models import read_keras_file
from hornet_jax.convert.mmpretrain import is_mmpretrain, official_from_mmpretrain
from hornet_jax.convert.official import params_from_official
from hornet_jax.convert.segmentation import is_mmseg, network_from_mmseg
from hornet_jax.convert.timm_file import read_timm_file
from hornet_jax.convert.torch_file import read_torch_file
from hornet_jax.errors import InputError, MismatchError, unknown_name
from hornet_jax.models import get_variant

SUFFIXES = (".pth", ".pt", ".h5", ".safetensors")
WEIGHTS = ("raw", "ema")
# What DistributedDataParallel, torch.compile and Lightning put before names, in any order.
_WRAPPERS = re.compile(r"^((module|_orig_mod|model)\.)+")
_IMAGENET_CLASSES = 1000


def read_checkpoint(
  path: pathlib.Path,
  weights: str = "raw",
  *,
  variant: str | None = None,
  any_architecture: bool = False,
) -> Converted:
  """Reads a published file: `.pth`, keras_cv_attention_models' `.h5` or timm's `.safetensors`.

  A `.pth` has the layout of the official code, of mmpretrain, of mmseg or of mmdet.

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
  if path.suffix == ".safetensors":
    return read_timm_file(path, variant=variant, any_architecture=any_architecture)
  entries, class_names = _read(path, weights)
  names = [name for name, _ in entries.values()]
  if variant is None and (is_mmdet(names) or is_mmseg(names)):
    _check_once(path, entries)
    read = network_from_mmdet if is_mmdet(names) else network_from_mmseg
    return read(path, entries, class_names, any_architecture=any_architecture)
  rename = official_from_mmpretrain if is_mmpretrain(names) else str
  entries = {source: (rename(name), value) for source, (name, value) in entries.items()}
  _check_once(path, entries)
  sources = {official: source for source, (official, _) in entries.items()}
  state_dict = dict(entries.values())
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


def _read(
  path: pathlib.Path, weights: str
) -> tuple[dict[str, tuple[str, np.ndarray]], Sequence[str]]:
  """Reads the arrays, name in the file -> (name, array), and the names of classes, if any."""
  if path.suffix == ".h5":
    return read_keras_file(path), ()
  class_names: list[str] = []

  def select(content: Any) -> dict[str, Any]:
    class_names.extend(_class_names(content))
    return _select(content, weights, path)

  tensors = read_torch_file(path, select)
  entries = {name: (_WRAPPERS.sub("", name), value) for name, value in tensors.items()}
  return entries, class_names


def _class_names(content: Any) -> Sequence[str]:
  """Finds the names of classes as mmseg and mmdet keep them, in old versions and in new ones."""
  meta = content.get("meta") if isinstance(content, Mapping) else None
  if not isinstance(meta, Mapping):
    return ()
  described = meta.get("dataset_meta")
  names = described.get("classes") if isinstance(described, Mapping) else meta.get("CLASSES")
  if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
    return names
  return ()


def _check_once(path: pathlib.Path, entries: Mapping[str, tuple[str, np.ndarray]]) -> None:
  last = {name: source for source, (name, _) in entries.items()}
  twice = sorted(source for source, (name, _) in entries.items() if last[name] != source)
  if twice:
    raise InputError(f"{path} must hold each array once: {', '.join(twice[:20])} twice.")


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
