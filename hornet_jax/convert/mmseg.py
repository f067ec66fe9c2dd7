"""Segmentation checkpoints of mmseg's layout become variables of a backbone with its heads."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from hornet_jax.convert.official import params_from_official
from hornet_jax.errors import InputError

_HEADS = {"decode_head": "decode", "auxiliary_head": "auxiliary"}
_SEGMENTS = (
  (r"^lateral_convs\.(\d+)", r"lateral_\1"),
  (r"^fpn_convs\.(\d+)", r"fpn_\1"),
  (r"^psp_modules\.(\d+)\.1", r"pool_\1"),
  (r"^fpn_bottleneck", "fusion"),
  (r"^convs\.(\d+)", r"conv_\1"),
  (r"^conv_seg", "classify.conv_seg"),
)
_GNCONV = re.compile(r"\.(proj_in|dwconv|pws|proj_out)\b")
_STATISTICS = {"running_mean": "mean", "running_var": "var"}
_LEVEL_NORM = re.compile(r"norm(\d)\.(weight|bias)")


def variables_from_mmseg(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Renames and transposes the arrays of a segmentation network.

  Args:
    state_dict: arrays by the names `backbone.*`, `decode_head.*` and `auxiliary_head.*`.

  Returns:
    `params` and `batch_stats` of the same network here.

  Raises:
    InputError: if a name is not one of such a network; all such names are listed.
  """
  backbone: dict[str, np.ndarray] = {}
  params: dict[str, Any] = {}
  statistics: dict[str, Any] = {}
  unknown = []
  for name, value in state_dict.items():
    part, _, rest = name.partition(".")
    if norm := part == "backbone" and _LEVEL_NORM.fullmatch(rest):
      leaf = {"weight": "scale", "bias": "bias"}[norm[2]]
      params[f"head.norms.norm_{norm[1]}.{leaf}"] = value
    elif part == "backbone":
      backbone[rest] = value
    elif part in _HEADS:
      found = head_variables({rest: value})
      for kind, into in (("params", params), ("batch_stats", statistics)):
        for path, array in traverse_util.flatten_dict(found.get(kind, {}), sep=".").items():
          into[f"head.{_HEADS[part]}.{path}"] = array
    else:
      unknown.append(f"{name} {np.shape(value)}")
  if unknown:
    raise InputError(
      f"a segmentation checkpoint must hold backbone.*, decode_head.* and auxiliary_head.* only: "
      f"{len(unknown)} unknown: {', '.join(unknown)}. Hint: pass the dictionary under "
      "'state_dict'."
    )
  return {
    "params": {
      "backbone": params_from_official(backbone),
      **traverse_util.unflatten_dict(params, sep="."),
    },
    "batch_stats": traverse_util.unflatten_dict(statistics, sep="."),
  }


def head_variables(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Renames and transposes the arrays of one head, or of a `GNConvModule` under `fpn_bottleneck`.

  Args:
    state_dict: arrays by their names within the head.

  Returns:
    `params` and `batch_stats` of the same head here.

  Raises:
    InputError: if a name is not one of a head.
  """
  params: dict[str, np.ndarray] = {}
  statistics: dict[str, np.ndarray] = {}
  for name, value in state_dict.items():
    module, _, leaf = name.rpartition(".")
    if leaf == "num_batches_tracked":
      continue
    if inner := _GNCONV.search(name):
      part = _renamed(name[: inner.start()])
      arrays = params_from_official({name[inner.start() + 1 :]: np.asarray(value)})
      flat = traverse_util.flatten_dict(arrays, sep=".")
      params.update({f"{part}.gnconv.{path}": array for path, array in flat.items()})
    elif leaf in _STATISTICS:
      statistics[f"{_renamed(module)}.{_STATISTICS[leaf]}"] = value
    else:
      path, array = _leaf(_renamed(module), leaf, np.asarray(value))
      params[path] = array
  found = {"params": params, "batch_stats": statistics}
  return {
    kind: traverse_util.unflatten_dict(arrays, sep=".") for kind, arrays in found.items() if arrays
  }


def _renamed(module: str) -> str:
  for pattern, ours in _SEGMENTS:
    if re.match(pattern, module):
      return re.sub(pattern, ours, module)
  return module


def _leaf(path: str, leaf: str, value: np.ndarray) -> tuple[str, np.ndarray]:
  if leaf == "bias":
    return f"{path}.bias", value
  if leaf == "weight" and value.ndim == 1:
    return f"{path}.scale", value
  if leaf == "weight" and value.ndim == 4:
    kernel = value.transpose(2, 3, 1, 0)
    return f"{path}.kernel", kernel[0, 0] if path.endswith("conv_seg") else kernel
  raise InputError(f"a head must have mmseg's arrays only: got {path}.{leaf} {value.shape}.")
