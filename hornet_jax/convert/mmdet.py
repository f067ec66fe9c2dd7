"""Detection checkpoints of mmdet's layout become variables of a detector here, and back."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from hornet_jax.convert.dense_backbone import COUNTER, level_norm_path, without_prefix
from hornet_jax.convert.mmdet_layers import (
  Layer,
  Layout,
  kernel_from,
  kind_of,
  layers_of,
  match,
  numbered,
  unnumbered,
  weight_from,
)
from hornet_jax.convert.official import params_from_official
from hornet_jax.convert.to_official import official_from_params
from hornet_jax.errors import InputError

_GNCONV = re.compile(r"neck\.fpn_convs\.(\d+)\.((?:proj_in|dwconv|pws|proj_out)\..*)")
_STATISTICS = {"running_mean": "mean", "running_var": "var"}
_LEAVES = {"bias": "bias", "scale": "weight", "mean": "running_mean", "var": "running_var"}
_NORM = re.compile(r"norms\.norm_(\d)\.(scale|bias)")

Entries = list[tuple[str, str, np.ndarray]]
"""Collection, path with dots, and value of each array here that one of a file becomes."""


def entries_from_mmdet(state_dict: Mapping[str, np.ndarray]) -> dict[str, Entries]:
  """Renames and transposes the arrays of a detector, each by itself.

  Args:
    state_dict: arrays by the names `backbone.*`, `neck.*`, `rpn_head.*` and `roi_head.*`.

  Returns:
    For each name, but for counters of batches, what its array becomes.

  Raises:
    InputError: if a name or the shape of its array is not of such a network; all are listed.
  """
  layers = layers_of(kind_of(state_dict))
  of_backbone = without_prefix(state_dict)
  found: dict[str, Entries] = {}
  unknown = []
  for name, given in state_dict.items():
    value = np.asarray(given)
    if name.endswith(COUNTER):
      continue
    if path := level_norm_path(name):
      found[name] = [("params", path, value)]
    elif name in of_backbone:
      found[name] = _of_official(of_backbone[name], value, "backbone")
    elif inner := _GNCONV.fullmatch(name):
      found[name] = _of_official(inner[2], value, f"head.neck.smooth_{inner[1]}")
    else:
      found[name] = _of_layer(layers, numbered(name), value)
    if not found[name]:
      unknown.append(f"{name} {value.shape}")
  if unknown:
    raise InputError(
      "a detection checkpoint must hold the arrays of a backbone, a neck, proposals and heads of "
      f"boxes and masks only: {len(unknown)} unknown: {', '.join(unknown)}. Hint: pass the "
      "dictionary under 'state_dict'."
    )
  return found


def variables_from_mmdet(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Renames and transposes the arrays of a detector.

  Args:
    state_dict: see `entries_from_mmdet`.

  Returns:
    `params` and, where there are any, `batch_stats` of the same network here.

  Raises:
    InputError: likewise.
  """
  flat: dict[str, dict[str, np.ndarray]] = {"params": {}}
  for entries in entries_from_mmdet(state_dict).values():
    for collection, path, value in entries:
      flat.setdefault(collection, {})[path] = value
  return {name: traverse_util.unflatten_dict(tree, sep=".") for name, tree in flat.items()}


def _of_official(name: str, value: np.ndarray, prefix: str) -> Entries:
  """Turns an array of the official backbone, or of a gnConv, into ours."""
  try:
    flat = traverse_util.flatten_dict(params_from_official({name: value}), sep=".")
  except InputError:
    return []
  return [("params", f"{prefix}.{path}", array) for path, array in flat.items()]


def _of_layer(layers: tuple[Layer, ...], name: str, value: np.ndarray) -> Entries:
  """Turns an array of a layer into ours."""
  module, _, leaf = name.rpartition(".")
  for layer in layers:
    path = match(layer.theirs, f"head.{layer.ours}", module)
    if path is None:
      continue
    is_norm = layer.layout is Layout.NORM
    if leaf == "weight":
      kernel = kernel_from(layer.layout, value)
      return [] if kernel is None else [("params", f"{path}.{_weight_name(layer)}", kernel)]
    if leaf == "bias" and value.ndim == 1:
      return [("params", f"{path}.bias", value)]
    if is_norm and leaf in _STATISTICS and value.ndim == 1:
      return [("batch_stats", f"{path}.{_STATISTICS[leaf]}", value)]
  return []


def _weight_name(layer: Layer) -> str:
  return "scale" if layer.layout is Layout.NORM else "kernel"


def mmdet_from_variables(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Renames and transposes the variables of a detector.

  It undoes `variables_from_mmdet`. Counters of batches, `num_batches_tracked`, are 0: only a norm
  without a momentum reads them.

  Args:
    variables: `params` and `batch_stats` of a detector on a HorNet; numpy arrays, blocks apart.

  Returns:
    Arrays by the names `backbone.*`, `neck.*`, `rpn_head.*` and `roi_head.*`.

  Raises:
    InputError: if a variable is none of such a network.
  """
  params = variables["params"]
  if "backbone" not in params:
    raise InputError(
      "the model must be a detector on a HorNet to have mmdet's names: got one without a backbone."
    )
  official = official_from_params(params["backbone"])
  found = {f"backbone.{name}": value for name, value in official.items()}
  head = {name: dict(part) for name, part in params.get("head", {}).items()}
  for name, module in dict(head.get("neck", {})).items():
    if "proj_in" in module:
      inner = official_from_params(head["neck"].pop(name))
      number = name.removeprefix("smooth_")
      found |= {f"neck.fpn_convs.{number}.{key}": value for key, value in inner.items()}
  kind = "cascade" if "box_heads_1" in head else "mask_rcnn"
  statistics = variables.get("batch_stats", {}).get("head", {})
  flat = traverse_util.flatten_dict(head, sep=".")
  for path, value in (flat | traverse_util.flatten_dict(dict(statistics), sep=".")).items():
    entry = _their_entry(layers_of(kind), path, value)
    if kind == "mask_rcnn":
      entry = {unnumbered(name): array for name, array in entry.items()}
    found |= entry
  return found


def _their_entry(layers: tuple[Layer, ...], path: str, value: np.ndarray) -> dict[str, np.ndarray]:
  """Gives the name and the array of one variable of the heads, and of its counter, if any."""
  if norm := _NORM.fullmatch(path):
    return {f"backbone.norm{norm[1]}.{_LEAVES[norm[2]]}": value}
  module, _, leaf = path.rpartition(".")
  for layer in layers:
    name = match(layer.ours, layer.theirs, module)
    if name is None:
      continue
    if leaf == _weight_name(layer):
      return {f"{name}.weight": weight_from(layer.layout, value)}
    counter = {f"{name}.{COUNTER}": np.zeros((), np.int64)} if leaf == "mean" else {}
    return {f"{name}.{_LEAVES[leaf]}": value, **counter}
  raise InputError(
    f"the model must be a detector on a HorNet to have mmdet's names: got head/"
    f"{path.replace('.', '/')} among its parameters."
  )
