"""What segmentation puts on a backbone: norms of the levels, the head, and an auxiliary head."""

import dataclasses
from collections.abc import Mapping, Sequence

import flax.linen as nn
from jaxtyping import Array, Float, Key

from hornet_jax.dense.fcn_head import FcnHead
from hornet_jax.dense.level_norms import LevelNorms
from hornet_jax.dense.uper_head import UperHead
from hornet_jax.models.execution import Execution
from hornet_jax.models.param_info import ParamInfo, layer_param_info


class SegmentationHead(nn.Module):
  """A `SegmentationHead` tells the class of every position of a backbone's finest feature map.

  Source: official semantic_segmentation/configs, `UPerNet`.

  Attributes:
    levels: names of the feature maps, from the finest on.
    decode: head that reads all of them.
    auxiliary: head that reads one of them, for a second loss in training; None for none.
    auxiliary_level: number of that map.
    execution: the way in which the norms are computed.
  """

  levels: Sequence[str]
  decode: UperHead
  auxiliary: FcnHead | None = None
  auxiliary_level: int = 2
  execution: Execution = Execution()

  @nn.compact
  def __call__(
    self,
    out: Mapping[str, Array],
    train: bool = False,
    keys: Key[Array, "B"] | None = None,
  ) -> dict[str, Float[Array, "B _ _ K"]]:
    """Makes `logits` on the grid of the finest map, and `auxiliary` on that of its own.

    Args:
      out: feature maps by their names.
      train: whether the heads are trained.
      keys: one random key for each example; needed to train with dropout.
    """
    maps = LevelNorms(self.execution, name="norms")([out[name] for name in self.levels])
    found = {"logits": self.decode(maps, train, keys)}
    if self.auxiliary is not None:
      found["auxiliary"] = self.auxiliary(maps[self.auxiliary_level], train, keys)
    return found

  def param_info(self, path: str) -> ParamInfo:
    """Tells what a parameter is, by its path in this module: all but classifiers are neck."""
    is_head = "/classify/" in path
    return dataclasses.replace(layer_param_info(path), head=is_head, neck=not is_head)
