"""This module turns parameters of the official PyTorch implementation into this package's tree."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from hornet_jax.errors import InputError

# Official module path -> ours, first match wins; applied to the whole dotted path.
_MODULES = [
  (r"^downsample_layers\.0\.0$", "stem.conv"),
  (r"^downsample_layers\.0\.1$", "stem.norm"),
  (r"^downsample_layers\.([1-3])\.0$", r"downsample_\1.norm"),
  (r"^downsample_layers\.([1-3])\.1$", r"downsample_\1.conv"),
]
_SEGMENTS = [
  (r"\bstages\.(\d+)\.(\d+)\b", r"stage_\1.block_\2"),
  (r"\bpws\.(\d+)\b", r"pws_\1"),
  (r"\bpwconv1\b", "mlp.fc1"),
  (r"\bpwconv2\b", "mlp.fc2"),
]
# Names of ours that the official model does not have.
_OURS = re.compile(r"\b(stem|downsample_\d|stage_\d|block_\d+|pws_\d|mlp|layer_scale\d)\b")


def params_from_official(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Renames and transposes an official state dict, of a whole model or of a part.

  Layouts: linear (out, in) and 1x1 convolution (out, in, 1, 1) become [in, out];
  other convolutions OIHW become HWIO; `complex_weight` (C, h, w, 2) becomes
  `filter_re` and `filter_im` [h, w, C]; a norm's `weight` becomes `scale`.

  Args:
    state_dict: arrays by official keys; a part, such as one gnConv, keeps the key
      names below that part.

  Returns:
    The nested `params` of the corresponding Flax module.

  Raises:
    InputError: if a key is not one of the official model; all such keys are listed.
  """
  flat: dict[str, np.ndarray] = {}
  unknown = []
  for key, value in state_dict.items():
    path, _, leaf = key.rpartition(".")
    ours = _OURS.search(path)
    entries = {} if ours else _convert_leaf(_rename(path), leaf, np.asarray(value))
    unknown += [] if entries else [f"{key} {np.shape(value)}"]
    flat.update(entries)
  if unknown:
    raise InputError(
      f"`state_dict` must hold official HorNet keys only: {len(unknown)} unknown: "
      f"{', '.join(unknown)}. Hint: pass the dictionary under 'model'."
    )
  return traverse_util.unflatten_dict(flat, sep=".")


def _rename(path: str) -> str:
  for pattern, replacement in _MODULES:
    if re.match(pattern, path):
      return re.sub(pattern, replacement, path)
  for pattern, replacement in _SEGMENTS:
    path = re.sub(pattern, replacement, path)
  return path


def _convert_leaf(path: str, leaf: str, value: np.ndarray) -> dict[str, np.ndarray]:
  prefix = f"{path}." if path else ""
  module = path.rpartition(".")[2]
  if leaf in ("gamma1", "gamma2"):
    return {f"{prefix}layer_scale{leaf[-1]}.scale": value}
  if leaf == "complex_weight":
    spectral = value.transpose(1, 2, 0, 3)  # [h, w, C, 2]
    return {f"{prefix}filter_re": spectral[..., 0], f"{prefix}filter_im": spectral[..., 1]}
  if not re.fullmatch(r"conv|dw|dwconv|proj_in|proj_out|pws_\d+|fc[12]|head|\w*norm[12]?", module):
    return {}
  if leaf == "bias":
    return {f"{prefix}bias": value}
  if leaf != "weight":
    return {}
  if value.ndim == 1:
    return {f"{prefix}scale": value}
  if value.ndim == 4 and module in ("conv", "dw", "dwconv"):
    return {f"{prefix}kernel": value.transpose(2, 3, 1, 0)}
  if value.shape[2:] in ((), (1, 1)):
    return {f"{prefix}kernel": value.reshape(value.shape[:2]).T}
  return {}
