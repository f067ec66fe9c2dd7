"""HorNet as a backbone: the feature maps of its stages."""

from collections.abc import Sequence

import flax.linen as nn
from jaxtyping import Array, Float, Key, Num

from hornet_jax.errors import InputError
from hornet_jax.models.hornet import HorNet, run_stages


class HorNetFeatures(nn.Module):
  """A HorNet without its last norm and head, for detection, segmentation and the like.

  Its parameters have the paths of the classifier's, so those of a classifier can be
  passed as they are: the leaves that are not needed are left alone. Stages after the
  last chosen one are neither computed nor have parameters.

  Deviation: the official backbones for dense prediction norm each map that they
  return (`norm0` to `norm3`); these are the maps as the next stage gets them.

  Attributes:
    model: the classifier; its head is not used.
    out_indices: the stages whose output is returned, in this order, counted from the
      end if negative; None for all.
  """

  model: HorNet
  out_indices: Sequence[int] | None = None

  @nn.compact
  def __call__(
    self,
    images: Num[Array, "B H W C"],
    train: bool = False,
    keys: Key[Array, "B"] | None = None,
  ) -> list[Float[Array, "B _ _ _"]]:
    """Feature maps of normalised images.

    Args:
      images: normalised images.
      train: whether blocks are dropped at random.
      keys: one random key per example; needed when `train` and drop_path_rate > 0.

    Returns:
      One map [B, h, w, C] for each of the chosen stages.

    Raises:
      InputError: if `out_indices` are out of range or repeated, and as `HorNet`.
    """
    stages = self.stages
    out = run_stages(self.model, images, train, keys, max(stages) + 1)
    return [out[f"stage_{s}"] for s in stages]

  @property
  def stages(self) -> list[int]:
    """The chosen stages, counted from 0."""
    count = len(self.model.depths)
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
  def channels(self) -> list[int]:
    """Width C of each returned map."""
    return [self.model.base_dim * 2**s for s in self.stages]

  @property
  def strides(self) -> list[int]:
    """Pixels of the image from one position of each returned map to the next."""
    return [self.model.patch_size * 2**s for s in self.stages]
