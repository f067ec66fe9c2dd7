"""This module turns parameters of timm's models into this package's tree."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from flax import traverse_util

from hornet_jax.models.convnext import ConvNext
from hornet_jax.models.swin import Swin
from hornet_jax.models.vit import VisionTransformer

StateDict = Mapping[str, np.ndarray]
_HEAD_DIM = 64  # of every ViT and DeiT of timm with 384 or 768 channels

# Name in timm -> path here; all that match are applied, in this order.
_LAYERS = (
  (r"\battn\.", "attention/"),
  (r"\bmlp\.fc", "mlp/fc"),
  (r"relative_position_bias_table$", "relative_bias"),
  (r"\bgamma$", "layer_scale/scale"),
  (r"\bconv_dw\.", "dwconv."),
)
_CONVNEXT = (
  (r"^stem\.0\.", "stem/conv."),
  (r"^stem\.1\.", "stem/norm."),
  (r"^stages\.(\d+)\.downsample\.0\.", r"downsample_\1/norm."),
  (r"^stages\.(\d+)\.downsample\.1\.", r"downsample_\1/conv."),
  (r"^stages\.(\d+)\.blocks\.(\d+)\.", r"stage_\1/block_\2/"),
  (r"^head\.norm\.", "norm."),
  (r"^head\.fc\.", "head."),
)
_SWIN = (
  (r"^patch_embed\.proj\.", "stem/conv."),
  (r"^patch_embed\.norm\.", "stem/norm."),
  (r"^layers\.(\d+)\.downsample\.", r"downsample_\1/"),
  (r"^layers\.(\d+)\.blocks\.(\d+)\.", r"stage_\1/block_\2/"),
  (r"^head\.fc\.", "head."),
)
_VIT = (
  (r"^patch_embed\.proj\.", "stem/conv."),
  (r"^blocks\.(\d+)\.", r"stage_0/block_\1/"),
  (r"^cls_token$", "tokens/class_token"),
)


class Family(NamedTuple):
  """A family says how timm names and shapes the parameters of an architecture.

  Attributes:
    constructor: class of the architecture.
    names: patterns of names in timm, with what stands for them here.
    sign: parameter that no other family has.
    read_fields: function from the arrays to the fields of the architecture that they tell.
  """

  constructor: Callable[..., Any]
  names: Sequence[tuple[str, str]]
  sign: str
  read_fields: Callable[[StateDict], dict[str, Any]]


def _depths(state_dict: StateDict, pattern: str) -> tuple[int, ...]:
  found: dict[int, int] = {}
  for name in state_dict:
    if match := re.match(pattern, name):
      stage = int(match[1])
      found[stage] = max(found.get(stage, 0), int(match[2]) + 1)
  return tuple(found.get(stage, 0) for stage in range(max(found, default=-1) + 1))


def _convnext_fields(state_dict: StateDict) -> dict[str, Any]:
  stem = state_dict["stem.0.weight"]
  scaled = any(name.endswith(".gamma") for name in state_dict)
  return {
    "base_dim": stem.shape[0],
    "patch_size": stem.shape[-1],
    "depths": _depths(state_dict, r"stages\.(\d+)\.blocks\.(\d+)\."),
    "layer_scale_init": 1e-6 if scaled else None,
  }


def _swin_fields(state_dict: StateDict) -> dict[str, Any]:
  stem = state_dict["patch_embed.proj.weight"]
  depths = _depths(state_dict, r"layers\.(\d+)\.blocks\.(\d+)\.")
  tables = [
    state_dict.get(f"layers.{s}.blocks.0.attn.relative_position_bias_table")
    for s in range(len(depths))
  ]
  heads = tuple(0 if table is None else table.shape[-1] for table in tables)
  places = max((0 if table is None else len(table) for table in tables), default=0)
  return {
    "base_dim": stem.shape[0],
    "patch_size": stem.shape[-1],
    "depths": depths,
    "num_heads": heads,
    "window": (math.isqrt(places) + 1) // 2,
  }


def _vit_fields(state_dict: StateDict) -> dict[str, Any]:
  stem = state_dict["patch_embed.proj.weight"]
  depths = _depths(
    {f"0.{name}": value for name, value in state_dict.items()}, r"(0)\.blocks\.(\d+)\."
  )
  fields = {"base_dim": stem.shape[0], "patch_size": stem.shape[-1], "depths": depths}
  if stem.shape[0] % _HEAD_DIM == 0:
    fields["num_heads"] = stem.shape[0] // _HEAD_DIM
  if "pos_embed" in state_dict:
    side = math.isqrt(state_dict["pos_embed"].shape[1] - 1)
    fields["grid"] = (side, side)
  return fields


FAMILIES = (
  Family(ConvNext, _CONVNEXT, "stem.0.weight", _convnext_fields),
  Family(Swin, _SWIN, "layers.0.blocks.0.attn.relative_position_bias_table", _swin_fields),
  Family(VisionTransformer, _VIT, "cls_token", _vit_fields),
)
SIZED = ("grid", "window")
"""Fields that differ where a published model is meant for images of another size."""


def find_family(state_dict: StateDict) -> Family | None:
  """Returns the family whose parameters these are, or None."""
  return next((family for family in FAMILIES if family.sign in state_dict), None)


def params_from_timm(
  state_dict: StateDict, family: Family
) -> tuple[dict[str, Any], dict[str, str]]:
  """Renames and transposes the arrays of a timm model.

  Layouts: linear (out, in) becomes [in, out]; convolutions OIHW become HWIO; a norm's `weight`
  becomes `scale`; `relative_position_bias_table` [(2 w - 1)^2, heads] becomes [2 w - 1, 2 w - 1,
  heads]; `pos_embed` [1, 1 + h w, C] becomes `class_position`
  [C] and `positions` [h, w, C].

  Args:
    state_dict: arrays by their names in timm.
    family: family that they belong to.

  Returns:
    The nested `params`, and for each path of it, with slashes, the name in timm.
  """
  flat, sources = {}, {}
  for name, value in state_dict.items():
    for path, array in _convert(name, np.asarray(value), family.names):
      flat[path], sources[path] = array, name
  return traverse_util.unflatten_dict(flat, sep="/"), sources


def _convert(
  name: str, value: np.ndarray, names: Sequence[tuple[str, str]]
) -> list[tuple[str, np.ndarray]]:
  if name == "pos_embed" and value.ndim == 3:
    side = math.isqrt(max(value.shape[1] - 1, 0))
    if 1 + side * side == value.shape[1]:
      return [
        ("tokens/class_position", value[0, 0]),
        ("tokens/positions", value[0, 1:].reshape(side, side, -1)),
      ]
  if name == "cls_token":
    value = value.reshape(-1)
  path = name
  for pattern, ours in (*names, *_LAYERS):
    path = re.sub(pattern, ours, path)
  module, _, leaf = path.rpartition(".")
  if path.endswith("relative_bias"):
    side = math.isqrt(len(value))
    value = value.reshape(side, side, -1) if side * side == len(value) else value
  elif leaf == "weight" and value.ndim == 1:
    path = f"{module}/scale"
  elif leaf == "weight":
    path = f"{module}/kernel"
    if value.shape[2:] == (1, 1) and "/mlp/" in path:  # a 1x1 convolution, with `conv_mlp`
      value = value[:, :, 0, 0]
    value = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T
  return [(path.replace(".", "/"), value)]
