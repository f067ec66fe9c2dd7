"""Segmentation checkpoints of mmseg's layout become variables of a backbone with its heads."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from hornet_jax.convert.dense_backbone import COUNTER, level_norm_path, without_prefix
from hornet_jax.convert.official import params_from_official
from hornet_jax.errors import InputError

_HEADS = {"decode_head": "decode", "auxiliary_head": "auxiliary"}
# Modules of heads -> ours. Those that are a convolution and a norm have both within.
_MODULES = (
  (r"lateral_convs\.(\d+)\.(conv|bn)", r"lateral_\1.\2"),
  (r"fpn_convs\.(\d+)\.(conv|bn)", r"fpn_\1.\2"),
  (r"psp_modules\.(\d+)\.1\.(conv|bn)", r"pool_\1.\2"),
  (r"bottleneck\.(conv|bn)", r"bottleneck.\1"),
  (r"fpn_bottleneck\.(conv|bn)", r"fusion.\1"),
  (r"convs\.(\d+)\.(conv|bn)", r"conv_\1.\2"),
  (r"conv_seg", r"classify.conv_seg"),
)
_GNCONV = re.compile(r"fpn_bottleneck\.((?:proj_in|dwconv|pws|proj_out)\..*)")
_STATISTICS = {"running_mean": "mean", "running_var": "var"}


def variables_from_mmseg(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Renames and transposes the arrays of a segmentation network.

  Args:
    state_dict: arrays by the names `backbone.*`, `decode_head.*` and `auxiliary_head.*`.

  Returns:
    `params` and `batch_stats` of the same network here.

  Raises:
    InputError: if a name or the shape of its array is not of such a network; all are listed.
  """
  found: dict[str, dict[str, np.ndarray]] = {"params": {}, "batch_stats": {}}
  of_backbone = without_prefix(state_dict)
  unknown = []
  for name, value in state_dict.items():
    part, _, rest = name.partition(".")
    if path := level_norm_path(name):
      found["params"][path] = value
    elif name in of_backbone:
      continue
    elif part not in _HEADS or not (arrays := _head_arrays(rest, np.asarray(value))):
      unknown += [] if rest.endswith(COUNTER) else [f"{name} {np.shape(value)}"]
    else:
      for kind, path, array in arrays:
        found[kind][f"head.{_HEADS[part]}.{path}"] = array
  _check_known(unknown)
  trees = {kind: traverse_util.unflatten_dict(flat, sep=".") for kind, flat in found.items()}
  trees["params"]["backbone"] = params_from_official(
    {name: state_dict[source] for source, name in of_backbone.items()}
  )
  return trees


def head_variables(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Renames and transposes the arrays of one head, or of a `GNConvModule` under `fpn_bottleneck`.

  Args:
    state_dict: arrays by their names within the head.

  Returns:
    `params` and `batch_stats` of the same head here.

  Raises:
    InputError: if a name or the shape of its array is not of a head; all are listed.
  """
  found: dict[str, dict[str, np.ndarray]] = {}
  unknown = []
  for name, value in state_dict.items():
    arrays = _head_arrays(name, np.asarray(value))
    if not arrays and not name.endswith(COUNTER):
      unknown.append(f"{name} {np.shape(value)}")
    for kind, path, array in arrays:
      found.setdefault(kind, {})[path] = array
  _check_known(unknown)
  return {kind: traverse_util.unflatten_dict(flat, sep=".") for kind, flat in found.items()}


def _check_known(unknown: list[str]) -> None:
  if unknown:
    raise InputError(
      f"a segmentation checkpoint must hold the arrays of a backbone, UperNet's head and an "
      f"auxiliary head only: {len(unknown)} unknown: {', '.join(unknown)}. Hint: pass the "
      "dictionary under 'state_dict'."
    )


def _head_arrays(name: str, value: np.ndarray) -> list[tuple[str, str, np.ndarray]]:
  """Turns an array of a head into ours: kind, path and value of each; none of an unknown one."""
  module, _, leaf = name.rpartition(".")
  if inner := _GNCONV.match(name):
    try:
      arrays = params_from_official({inner[1]: value})
    except InputError:
      return []
    flat = traverse_util.flatten_dict(arrays, sep=".")
    return [("params", f"fusion.gnconv.{path}", array) for path, array in flat.items()]
  for pattern, ours in _MODULES:
    if match := re.fullmatch(pattern, module):
      path = match.expand(ours)
      break
  else:
    return []
  is_norm = path.endswith(".bn")
  if is_norm and leaf in _STATISTICS and value.ndim == 1:
    return [("batch_stats", f"{path}.{_STATISTICS[leaf]}", value)]
  if leaf == "bias" and value.ndim == 1:
    return [("params", f"{path}.bias", value)]
  if leaf == "weight" and value.ndim == (1 if is_norm else 4):
    if is_norm:
      return [("params", f"{path}.scale", value)]
    kernel = value.transpose(2, 3, 1, 0)
    return [("params", f"{path}.kernel", kernel[0, 0] if path.endswith("conv_seg") else kernel)]
  return []
