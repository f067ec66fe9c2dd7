"""A model serves as a backbone by returning the feature maps of its stages."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import flax.linen as nn
from jaxtyping import Array, Float, Key, Num

from hornet_jax.errors import InputError
from hornet_jax.models.api import Architecture, FeatureInfo


@runtime_checkable
class Staged(Architecture, Protocol):
  """An architecture follows this protocol if it can stop after some of its stages."""

  def run_stages(
    self,
    images: Num[Array, "B H W C"],
    train: bool,
    keys: Key[Array, "B"] | None,
    num_stages: int,
  ) -> dict[str, Array]:
    """Runs the first `num_stages` stages; decorated by `nn.nowrap`.

    The layers thereby become parts of the module whose compact method calls it.
    """
    ...


class FeatureMaps(nn.Module):
  """A `FeatureMaps` is a classifier without last norm and head, for detection and segmentation.

  Its parameters have the same paths as the classifier's, so those of a classifier can be
  passed as they are: what is not needed is ignored. Stages after the last chosen one are
  not computed and have no parameters.

  Deviation: the official backbones for dense prediction norm each map that they
  return (`norm0` to `norm3`); these are the maps as the next stage gets them.

  Attributes:
    model: the classifier; its head is not used.
    out_indices: numbers of the stages whose output is returned, in this order, counted
      from the end if negative; None for all.
  """

  model: Staged
  out_indices: Sequence[int] | None = None

  @nn.compact
  def __call__(
    self,
    images: Num[Array, "B H W C"],
    train: bool = False,
    keys: Key[Array, "B"] | None = None,
  ) -> list[Float[Array, "B _ _ _"]]:
    """Computes feature maps of normalised images.

    Args:
      images: normalised images, floating point.
      train: whether blocks are dropped at random.
      keys: one random key per example; needed when `train` and drop_path_rate > 0.

    Returns:
      One map [B, h, w, C] for each of the chosen stages.

    Raises:
      InputError: if `out_indices` are out of range or repeated, or where the classifier raises it.
    """
    out = self.model.run_stages(images, train, keys, max(self.stages) + 1)
    return [out[feature.name] for feature in self._chosen]

  @property
  def stages(self) -> list[int]:
    """Lists the chosen stages, counted from 0."""
    count = len(self.model.features())
    indices = range(count) if self.out_indices is None else self.out_indices
    if not isinstance(indices, Sequence) or not all(isinstance(s, int) for s in indices):
      raise InputError(
        f"`out_indices` must be numbers of stages: expected such as (0, 1), got {indices!r}."
      )
    stages = [s + count if s < 0 else s for s in indices]
    if not stages or not set(stages) <= set(range(count)) or len(set(stages)) < len(stages):
      raise InputError(
        f"`out_indices` must name different stages: expected some of {list(range(count))}, or "
        f"counted from the end, each once, got {tuple(indices)}."
      )
    return stages

  @property
  def _chosen(self) -> list[FeatureInfo]:
    return [self.model.features()[s] for s in self.stages]

  @property
  def channels(self) -> list[int]:
    """Lists the width C of each returned map."""
    return [feature.channels for feature in self._chosen]

  @property
  def strides(self) -> list[int]:
    """Lists the stride of each returned map: image pixels from one position to the next."""
    return [feature.stride for feature in self._chosen]


class WholeFeatureMaps(FeatureMaps):
  """A `WholeFeatureMaps` gives the feature maps of an architecture that cannot stop early.

  All of it is run, and has parameters, with the paths of the classifier's; under `jit` what no
  chosen map needs costs nothing.

  Attributes:
    model: architecture without a head.
  """

  model: Architecture  # type: ignore[assignment]

  def setup(self) -> None:
    """Has the model's parameters lie where this module's do."""
    nn.share_scope(self, self.model)

  def __call__(
    self,
    images: Num[Array, "B H W C"],
    train: bool = False,
    keys: Key[Array, "B"] | None = None,
  ) -> list[Float[Array, "B _ _ _"]]:
    """Computes feature maps of normalised images, see `FeatureMaps.__call__`."""
    _, out = self.model(images, train, keys)
    return [out[feature.name] for feature in self._chosen]


def feature_maps(model: Architecture, out_indices: Sequence[int] | None = None) -> FeatureMaps:
  """Makes a backbone of any classifier; where it is `Staged`, stages that are not needed are cut.

  Raises:
    InputError: if `out_indices` are out of range or repeated.
  """
  if isinstance(model, Staged):
    maps = FeatureMaps(model, out_indices)
  else:
    maps = WholeFeatureMaps(model.clone(num_classes=0), out_indices)
  _ = maps.stages  # an error now, not at the first call
  return maps
