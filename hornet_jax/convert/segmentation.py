"""This module reads a segmentation network of mmseg's layout: UperNet on a HorNet."""

import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from hornet_jax.convert.architecture import misfits
from hornet_jax.convert.converted import NO_TASK, Converted, in_words, listed
from hornet_jax.convert.dense_backbone import COUNTER, PREFIX, read_backbone
from hornet_jax.convert.mmseg import variables_from_mmseg
from hornet_jax.convert.to_mmseg import mmseg_from_variables
from hornet_jax.convert.to_official import zeros_of
from hornet_jax.dense import attach_uper_net
from hornet_jax.errors import MismatchError
from hornet_jax.models import create_model

_TASK = "segmentation"
_HEADS = ("decode_head.", "auxiliary_head.")
_LEVEL_NORM = re.compile(r"(backbone\.)?norm[0-2]\.(weight|bias)")
# Source: official semantic_segmentation/configs.
_NUM_CLASSES = 150
_CROPS = {192: 640}  # width of the stem -> side of the crops, where it is not 512
_CROP = 512


def is_mmseg(names: Iterable[str]) -> bool:
  """Returns whether names are those of a segmentation network, or of its backbone alone.

  Args:
    names: names of arrays, without those of wrappers.
  """
  return any(name.startswith(_HEADS) or _LEVEL_NORM.fullmatch(name) for name in names)


def network_from_mmseg(
  path: pathlib.Path,
  tensors: Mapping[str, tuple[str, np.ndarray]],
  class_names: Sequence[str] = (),
  *,
  any_architecture: bool = False,
) -> Converted:
  """Makes of the arrays of a file a segmentation network, or a backbone with its level norms.

  The widths of the heads, the fusion and the number of classes are read off the arrays.

  Args:
    path: path of the file, for errors.
    tensors: name in the file -> (name without those of wrappers, array).
    class_names: names of the classes that the file has beside the arrays; none for numbers.
    any_architecture: whether the backbone may be a HorNet that was not published.

  Raises:
    MismatchError: if the arrays are not exactly those of the network; what is missing, left over
      or of another shape is listed by its name in mmseg.
    InputError: if an array is unknown.
  """
  whole = any(name.startswith((PREFIX, *_HEADS)) for name, _ in tensors.values())
  prefix = "" if whole else PREFIX  # the state of a backbone itself
  sources = {f"{prefix}{name}": source for source, (name, _) in tensors.items()}
  given = {
    f"{prefix}{name}": np.asarray(value)
    for name, value in tensors.values()
    if not name.endswith(COUNTER)
  }
  backbone = read_backbone(given, any_architecture=any_architecture)
  variant, overrides = backbone.variant, backbone.overrides
  settings = _read_heads(given)
  num_classes = settings.pop("num_classes", 0)
  model = create_model(variant, num_classes=0, **overrides)
  network = attach_uper_net(model, num_classes or 1, **settings)
  images = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
  variables = zeros_of(jax.eval_shape(network.init, jax.random.key(0), images))
  wanted = {
    name: value.shape
    for name, value in mmseg_from_variables(variables).items()
    if not name.endswith(COUNTER) and (num_classes or name.startswith(PREFIX))
  }
  if problems := misfits(given, wanted):
    found = in_words(variant, overrides)
    what = f"UperNet on {found}" if num_classes else f"the backbone {found} with its level norms"
    raise MismatchError(
      f"{path} must hold {what}, whole and nothing else: {listed(problems)}.{backbone.hint}",
      problems,
    )
  found = jax.tree.map(
    lambda leaf: np.ascontiguousarray(leaf, np.float32), variables_from_mmseg(given)
  )
  params = found.pop("params")
  crop = _CROPS.get(backbone.base_dim or 0, _CROP)
  if num_classes and crop != _CROP:
    settings |= {"long_side": 4 * crop, "short_side": crop}  # of the images that it was tested on
  return Converted(
    variant,
    overrides,
    num_classes,
    crop,
    params,
    _by_path(given, sources),
    task=_TASK if num_classes else NO_TASK,
    settings=settings,
    state=found if num_classes else {},
    class_names=tuple(class_names) if len(class_names) == num_classes else (),
  )


def _read_heads(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Reads the settings of the heads; where arrays are missing, those of the official configs."""
  if not any(name.startswith(_HEADS) for name in state_dict):
    return {}

  def axis(name: str, number: int, missing: int) -> int:
    value = state_dict.get(name)
    return value.shape[number] if value is not None and value.ndim > number else missing

  classes = axis("auxiliary_head.conv_seg.weight", 0, _NUM_CLASSES)
  fusion = "conv"
  if any(name.startswith("decode_head.fpn_bottleneck.dwconv.") for name in state_dict):
    spectral = "decode_head.fpn_bottleneck.dwconv.complex_weight" in state_dict
    fusion = "gf" if spectral else "7x7"
  has_auxiliary = any(name.startswith("auxiliary_head.") for name in state_dict)
  return {
    "num_classes": axis("decode_head.conv_seg.weight", 0, classes),
    "channels": axis("decode_head.bottleneck.conv.weight", 0, 512),
    "fusion": fusion,
    "auxiliary_channels": (
      axis("auxiliary_head.convs.0.conv.weight", 0, 256) if has_auxiliary else 0
    ),
  }


def _by_path(state_dict: Mapping[str, np.ndarray], sources: Mapping[str, str]) -> dict[str, str]:
  """Returns for each path, as files have it, the name of the array that it came from."""
  found: dict[str, str] = {}
  for name, value in state_dict.items():
    trees = variables_from_mmseg({name: value})
    trees |= trees.pop("params")
    found |= dict.fromkeys(traverse_util.flatten_dict(trees, sep="/"), sources[name])
  return found
