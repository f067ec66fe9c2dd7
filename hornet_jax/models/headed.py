"""A backbone with a head of a task on its feature maps is an architecture again."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Key, Num

from hornet_jax.models.api import AnyArray, Architecture, FeatureInfo, Picture
from hornet_jax.models.execution import Execution
from hornet_jax.models.features import FeatureMaps, feature_maps
from hornet_jax.models.param_info import ParamInfo, layer_param_info

_BACKBONE = "backbone"


class Headed(nn.Module):
  """A backbone's feature maps go through a head.

  Attributes:
    backbone: feature maps of an architecture; what comes after the last of them is not there.
    head: module that is called with the named feature maps, `train` and `keys`; one that
      is more than a layer that makes classes says so by a method `param_info`, like that of an
      architecture.
    execution: the way in which the backbone is computed.
    num_classes: 0, as it does not classify images.
  """

  backbone: FeatureMaps
  head: nn.Module
  execution: Execution
  num_classes: int = 0

  def __post_init__(self) -> None:
    model = self.backbone.model
    if model.execution != self.execution:
      maps = self.backbone.clone(model=model.clone(execution=self.execution))
      object.__setattr__(self, _BACKBONE, maps)
    super().__post_init__()

  def __call__(
    self,
    images: Num[Array, "B H W C"],
    train: bool = False,
    keys: Key[Array, "B"] | None = None,
    context: Mapping[str, Array] | None = None,
  ) -> tuple[Any, dict[str, Array]]:
    """Returns what the head gives of normalised images, and the feature maps by their names.

    Args:
      images: normalised images.
      train: whether the model is trained.
      keys: one random key for each example.
      context: arrays of the images that the head is given too, if it takes any; None for none.
    """
    told = {} if context is None else {"context": context}
    maps = self.backbone(images, train=train, keys=keys)
    out = {feature.name: x for feature, x in zip(self.features(), maps, strict=True)}
    return self.head(out, train=train, keys=keys, **told), out

  def features(self) -> tuple[FeatureInfo, ...]:
    """Lists the feature maps of the backbone."""
    return self.backbone.model.features()

  def stacks(self) -> dict[str, int]:
    """Gives the runs of equal blocks of the backbone."""
    return {f"{_BACKBONE}/{path}": depth for path, depth in self.backbone.model.stacks().items()}

  def param_info(self, path: str) -> ParamInfo:
    """Tells what a parameter is: the backbone knows its own, and so may the head."""
    part, _, rest = path.partition("/")
    if part == _BACKBONE:
      return self.backbone.model.param_info(rest)
    if describe := getattr(self.head, "param_info", None):
      return describe(rest)
    return dataclasses.replace(layer_param_info(rest), head=True)

  def adapt(self, path: str, value: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    """Resizes what the backbone resizes."""
    part, _, rest = path.partition("/")
    return self.backbone.model.adapt(rest, value, shape) if part == _BACKBONE else value

  def pictures(self, params: Mapping[str, Any]) -> Sequence[Picture]:
    """Chooses what the backbone chooses."""
    return self.backbone.model.pictures(params[_BACKBONE])


def attach_head(backbone: Architecture, head: nn.Module) -> Headed:
  """Puts a head on the feature maps of a backbone.

  Args:
    backbone: architecture without a classifier.
    head: module that is called with the named feature maps, `train` and `keys`.
  """
  return Headed(feature_maps(backbone), head, backbone.execution)
