"""Variables of a backbone with UperNet's heads become a checkpoint of mmseg's layout."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from hornet_jax.convert.to_official import official_from_params
from hornet_jax.errors import InputError

_HEADS = {"decode": "decode_head", "auxiliary": "auxiliary_head"}
_MODULES = (
  (r"lateral_(\d+)\.(conv|bn)", r"lateral_convs.\1.\2"),
  (r"fpn_(\d+)\.(conv|bn)", r"fpn_convs.\1.\2"),
  (r"pool_(\d+)\.(conv|bn)", r"psp_modules.\1.1.\2"),
  (r"bottleneck\.(conv|bn)", r"bottleneck.\1"),
  (r"fusion\.(conv|bn)", r"fpn_bottleneck.\1"),
  (r"conv_(\d+)\.(conv|bn)", r"convs.\1.\2"),
  (r"classify\.conv_seg", r"conv_seg"),
)
_LEAVES = {"bias": "bias", "scale": "weight", "mean": "running_mean", "var": "running_var"}
_NORM = re.compile(r"norms\.norm_(\d)")


def mmseg_from_variables(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Renames and transposes the variables of a segmentation network.

  It undoes `variables_from_mmseg`. Counters of batches, `num_batches_tracked`, are 0: only a norm
  without a momentum reads them.

  Args:
    variables: `params` and `batch_stats` of UperNet on a HorNet, or of the backbone with the
      norms of its levels alone; numpy arrays, blocks apart.

  Returns:
    Arrays by the names `backbone.*`, `decode_head.*` and `auxiliary_head.*`.

  Raises:
    InputError: if a variable is none of such a network.
  """
  params = variables["params"]
  if "backbone" not in params:
    raise InputError(
      "the model must be UperNet on a HorNet to have mmseg's names: got one without a backbone."
    )
  backbone = official_from_params(params["backbone"])
  found = {f"backbone.{name}": value for name, value in backbone.items()}
  heads = dict(params.get("head", {}))
  for name, head in heads.items():
    if name in _HEADS and "gnconv" in head.get("fusion", {}):
      inner = official_from_params(head["fusion"]["gnconv"])
      found |= {f"{_HEADS[name]}.fpn_bottleneck.{key}": value for key, value in inner.items()}
  statistics = variables.get("batch_stats", {}).get("head", {})
  flat = traverse_util.flatten_dict(heads, sep=".")
  for path, value in (flat | traverse_util.flatten_dict(dict(statistics), sep=".")).items():
    if ".fusion.gnconv." not in path:
      found |= _entry(path, value)
  return found


def _entry(path: str, value: np.ndarray) -> dict[str, np.ndarray]:
  """Gives the name and the array of one variable of the heads, and of its counter, if any."""
  module, _, leaf = path.rpartition(".")
  if norm := _NORM.fullmatch(module):
    return {f"backbone.norm{norm[1]}.{_LEAVES[leaf]}": value}
  part, _, inner = module.partition(".")
  theirs = next(
    (match.expand(name) for ours, name in _MODULES if (match := re.fullmatch(ours, inner))), None
  )
  if part not in _HEADS or theirs is None:
    raise InputError(
      f"the model must be UperNet on a HorNet to have mmseg's names: got head/{path} among its "
      "parameters."
    )
  name = f"{_HEADS[part]}.{theirs}"
  if leaf == "kernel":
    whole = value[None, None] if value.ndim == 2 else value  # a linear layer is a 1x1 convolution
    return {f"{name}.weight": whole.transpose(3, 2, 0, 1)}
  counter = {f"{name}.num_batches_tracked": np.zeros((), np.int64)} if leaf == "mean" else {}
  return {f"{name}.{_LEAVES[leaf]}": value, **counter}
