"""What a model and its training cost is counted, without computing anything."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Any

from hornet_jax.config.build import build_model
from hornet_jax.cost.model_work import stage_costs

_FORWARD_AND_BACKWARD = 3  # the backward pass has the products of the forward pass twice


@dataclasses.dataclass(frozen=True)
class ModelCost:
  """A `ModelCost` holds the size of a model.

  Attributes:
    params: number of parameters without the head.
    params_with_head: number of all parameters.
    macs: MACs of the forward pass of one image, those of Fourier transforms included.
  """

  params: int
  params_with_head: int
  macs: int


def count_model(
  settings: Mapping[str, Any], data: Mapping[str, Any], num_classes: int
) -> ModelCost:
  """Counts a model.

  Args:
    settings: `config.model`.
    data: `config.data`.
    num_classes: number of classes K.

  Raises:
    InputError: if a setting is unknown or the image too small.
  """
  described = json.dumps([dict(settings), data["image_size"], data["channels"], num_classes])
  return _count(described)


def train_flops(macs: int, images: int) -> int:
  """Returns the FLOPs of training: two for each MAC, forward and backward.

  What is computed twice to save memory is not counted: it is no part of the method.

  Args:
    macs: MACs of the forward pass of one image.
    images: number of images seen, repeated ones counted again.
  """
  return 2 * _FORWARD_AND_BACKWARD * macs * images


@functools.cache
def _count(described: str) -> ModelCost:
  """Counts the model that a text describes: many trials have the same one."""
  settings, image_size, channels, num_classes = json.loads(described)
  data = {"image_size": image_size, "channels": channels}
  headless, whole = (
    stage_costs(build_model(settings, data, classes), image_size, channels)
    for classes in (0, num_classes)
  )
  return ModelCost(
    sum(row.params for row in headless),
    sum(row.params for row in whole),
    sum(row.macs + row.spectral_macs for row in whole),
  )
