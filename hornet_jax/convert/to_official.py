"""This module turns parameters of this package into those of the official implementation."""

import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from hornet_jax.errors import InputError

# Our module path -> the official one; all that match are applied.
_MODULES = (
  (r"^stem\.conv$", "downsample_layers.0.0"),
  (r"^stem\.norm$", "downsample_layers.0.1"),
  (r"^downsample_(\d)\.norm$", r"downsample_layers.\1.0"),
  (r"^downsample_(\d)\.conv$", r"downsample_layers.\1.1"),
  (r"\bstage_(\d+)\.block_(\d+)\b", r"stages.\1.\2"),
  (r"\bpws_(\d+)\b", r"pws.\1"),
  (r"\bmlp\.fc([12])\b", r"pwconv\1"),
  (r"\blayer_scale([12])\b", r"gamma\1"),
)
# Linear layers that are 1x1 convolutions there.
_CONVOLUTIONS = re.compile(r"(^|\.)(proj_in|proj_out|pws\.\d+)$")
_GNCONV = r"(proj_in|proj_out|pws\.\d+|dwconv(\.(dw|pre_norm|post_norm))?)"
_PARTS = re.compile(
  r"downsample_layers\.\d\.\d|head|norm"
  rf"|(stages\.\d+\.\d+\.)?(norm[12]|gamma[12]|pwconv[12]|gnconv\.{_GNCONV})|{_GNCONV}"
)


def official_from_params(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Renames and transposes parameters, of a whole model or of a part: see `params_from_official`.

  Args:
    params: parameter tree of a HorNet, numpy arrays, blocks apart; a part, such as one gnConv,
      has the paths below that part.

  Returns:
    Arrays by official names, with the official layouts.

  Raises:
    InputError: if a parameter is none of the official model; all such are listed.
  """
  found: dict[str, np.ndarray] = {}
  unknown = []
  flat = traverse_util.flatten_dict(dict(params), sep=".")
  for path, value in flat.items():
    ours, _, leaf = path.rpartition(".")
    module = ours
    for pattern, theirs in _MODULES:
      module = re.sub(pattern, theirs, module)
    if not _PARTS.fullmatch(module):
      unknown.append(path.replace(".", "/"))
    elif leaf == "filter_re":
      both = np.stack([value, flat[f"{ours}.filter_im"]], axis=-1)  # [h, w, C, 2]
      found[f"{module}.complex_weight"] = both.transpose(2, 0, 1, 3)
    elif leaf != "filter_im":
      name, array = _leaf(module, leaf, value)
      found[name] = array
  if unknown:
    raise InputError(
      f"the model must be an official HorNet to have its names: {len(unknown)} parameters of "
      f"another: {', '.join(unknown[:5])}{', ...' if unknown[5:] else ''}."
    )
  return found


def _leaf(module: str, leaf: str, value: np.ndarray) -> tuple[str, np.ndarray]:
  if leaf == "scale":
    return (module if module.endswith(("gamma1", "gamma2")) else f"{module}.weight"), value
  if leaf == "bias":
    return f"{module}.bias", value
  if value.ndim == 4:  # HWIO
    return f"{module}.weight", value.transpose(3, 2, 0, 1)
  weight = value.T
  return f"{module}.weight", weight[..., None, None] if _CONVOLUTIONS.search(module) else weight


def zeros_of(tree: Any) -> Any:
  """Makes arrays of zeros, which take no memory, of abstract ones: to tell names and shapes."""
  return jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), tree)
