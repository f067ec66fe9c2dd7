"""This module reads a detector of mmdet's layout: Mask R-CNN or its cascade on a HorNet."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from hornet_jax.convert.architecture import misfits
from hornet_jax.convert.converted import Converted, in_words, listed
from hornet_jax.convert.dense_backbone import COUNTER, read_backbone
from hornet_jax.convert.mmdet import (
  entries_from_mmdet,
  mmdet_from_variables,
  variables_from_mmdet,
)
from hornet_jax.convert.mmdet_layers import kind_of, numbered
from hornet_jax.convert.to_official import zeros_of
from hornet_jax.dense import attach_detector
from hornet_jax.errors import MismatchError
from hornet_jax.models import create_model, get_variant

_TASK = "detection"
_HEADS = ("rpn_head.", "roi_head.")
_NAMES = {"cascade": "Cascade Mask R-CNN", "mask_rcnn": "Mask R-CNN"}
# Source: official object_detection/configs.
_NUM_CLASSES, _CHANNELS, _HIDDEN = 80, 256, 1024


def is_mmdet(names: Iterable[str]) -> bool:
  """Returns whether names are those of a detector.

  Args:
    names: names of arrays, without those of wrappers.
  """
  return any(name.startswith(_HEADS) for name in names)


def network_from_mmdet(
  path: pathlib.Path,
  tensors: Mapping[str, tuple[str, np.ndarray]],
  class_names: Sequence[str] = (),
  *,
  any_architecture: bool = False,
) -> Converted:
  """Makes of the arrays of a file a detector.

  Its kind, the widths of neck and heads and the number of classes are read off the arrays.

  Args:
    path: path of the file, for errors.
    tensors: name in the file -> (name without those of wrappers, array).
    class_names: names of the classes that the file has beside the arrays; none for numbers.
    any_architecture: whether the backbone may be a HorNet that was not published.

  Raises:
    MismatchError: if the arrays are not exactly those of the network; what is missing, left over
      or of another shape is listed by its name in mmdet.
    InputError: if an array is unknown.
  """
  sources = {name: source for source, (name, _) in tensors.items()}
  given = {
    name: np.asarray(value) for name, value in tensors.values() if not name.endswith(COUNTER)
  }
  backbone = read_backbone(given, any_architecture=any_architecture)
  settings = _read_heads(given)
  num_classes = settings.pop("num_classes")
  model = create_model(backbone.variant, num_classes=0, **backbone.overrides)
  network = attach_detector(model, num_classes, **settings)
  images = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
  variables = zeros_of(jax.eval_shape(network.init, jax.random.key(0), images))
  wanted = {
    name: value.shape
    for name, value in mmdet_from_variables(variables).items()
    if not name.endswith(COUNTER)
  }
  if problems := misfits(given, wanted):
    what = f"{_NAMES[settings['kind']]} on {in_words(backbone.variant, backbone.overrides)}"
    raise MismatchError(
      f"{path} must hold {what}, whole and nothing else: {listed(problems)}.{backbone.hint}",
      problems,
    )
  found = jax.tree.map(
    lambda leaf: np.ascontiguousarray(leaf, np.float32), variables_from_mmdet(given)
  )
  params = found.pop("params")
  return Converted(
    backbone.variant,
    backbone.overrides,
    num_classes,
    get_variant(backbone.variant).image_size,  # which no image is brought to
    params,
    _by_path(given, sources),
    task=_TASK,
    settings=settings,
    state=found,
    class_names=tuple(class_names) if len(class_names) == num_classes else (),
  )


def _read_heads(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Reads the settings of the detector; where arrays are missing, those of the official configs."""
  arrays = {numbered(name): value for name, value in state_dict.items()}

  def axis(name: str, number: int, missing: int) -> int:
    value = arrays.get(name)
    return value.shape[number] if value is not None and value.ndim > number else missing

  of_masks = axis("roi_head.mask_head.0.conv_logits.weight", 0, _NUM_CLASSES)
  neck = "conv"
  if any(name.startswith("neck.fpn_convs.0.dwconv.") for name in arrays):
    neck = "gf" if "neck.fpn_convs.0.dwconv.complex_weight" in arrays else "7x7"
  return {
    "num_classes": max(axis("roi_head.bbox_head.0.fc_cls.weight", 0, of_masks + 1) - 1, 1),
    "kind": kind_of(state_dict),
    "neck": neck,
    "channels": axis("neck.lateral_convs.0.conv.weight", 0, _CHANNELS),
    "hidden": axis("roi_head.bbox_head.0.shared_fcs.0.weight", 0, _HIDDEN),
  }


def _by_path(state_dict: Mapping[str, np.ndarray], sources: Mapping[str, str]) -> dict[str, str]:
  """Returns for each path, as files have it, the name of the array that it came from."""
  found: dict[str, str] = {}
  for name, entries in entries_from_mmdet(state_dict).items():
    for collection, path, _ in entries:
      prefix = "" if collection == "params" else f"{collection}/"
      found[prefix + path.replace(".", "/")] = sources[name]
  return found
