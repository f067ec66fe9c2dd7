"""A backbone with a head of a task on its feature maps is an architecture again."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float, Key, Num

from hornet_jax.models.api import AnyArray, Architecture, FeatureInfo, Picture
from hornet_jax.models.execution import Execution
from hornet_jax.models.param_info import ParamInfo, layer_param_info

_BACKBONE = "backbone"


class Headed(nn.Module):
  """A backbone's feature maps go through a head.

  Attributes:
    backbone: architecture without a classifier.
    head: module that is called with the named feature maps and `train`.
    execution: the way in which the backbone is computed.
    num_classes: 0, as it does not classify images.
  """

  backbone: Any
  head: Any
  execution: Execution
  num_classes: int = 0

  def __post_init__(self) -> None:
    if self.backbone.execution != self.execution:
      object.__setattr__(self, _BACKBONE, self.backbone.clone(execution=self.execution))
    super().__post_init__()

  def __call__(
    self,
    images: Num[Array, "B H W C"],
    train: bool = False,
    keys: Key[Array, "B"] | None = None,
  ) -> tuple[Float[Array, "B ..."], dict[str, Array]]:
    """Returns what the head gives of normalised images, and the backbone's intermediates."""
    _, out = self.backbone(images, train=train, keys=keys)
    return self.head(out, train=train), out

  def features(self) -> tuple[FeatureInfo, ...]:
    """Lists the feature maps of the backbone."""
    return self.backbone.features()

  def stacks(self) -> dict[str, int]:
    """Gives the runs of equal blocks of the backbone."""
    return {f"{_BACKBONE}/{path}": depth for path, depth in self.backbone.stacks().items()}

  def param_info(self, path: str) -> ParamInfo:
    """Tells what a parameter is: the backbone knows its own, the head has ordinary layers."""
    part, _, rest = path.partition("/")
    if part == _BACKBONE:
      return self.backbone.param_info(rest)
    return dataclasses.replace(layer_param_info(path), head=True)

  def adapt(self, path: str, value: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    """Resizes what the backbone resizes."""
    part, _, rest = path.partition("/")
    return self.backbone.adapt(rest, value, shape) if part == _BACKBONE else value

  def pictures(self, params: Mapping[str, Any]) -> Sequence[Picture]:
    """Chooses what the backbone chooses."""
    return self.backbone.pictures(params[_BACKBONE])


def attach_head(backbone: Architecture, head: nn.Module) -> Headed:
  """Puts a head on the feature maps of a backbone.

  Args:
    backbone: architecture without a classifier.
    head: module that is called with the named feature maps and `train`.
  """
  return Headed(backbone, head, backbone.execution)
