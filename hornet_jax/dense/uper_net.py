"""UperNet is put on a backbone here, with the choices that published networks make."""

import functools
from collections.abc import Callable, Mapping

import flax.linen as nn

from hornet_jax.dense.fcn_head import FcnHead
from hornet_jax.dense.gnconv_norm import GnConvNorm
from hornet_jax.dense.segmentation_head import SegmentationHead
from hornet_jax.dense.uper_head import UperHead
from hornet_jax.errors import InputError
from hornet_jax.models.api import Architecture
from hornet_jax.models.headed import Headed, attach_head

FUSIONS: Mapping[str, Callable[..., nn.Module] | None] = {
  "conv": None,
  "7x7": functools.partial(GnConvNorm, filter="7x7"),
  "gf": functools.partial(GnConvNorm, filter=(32, 17)),
}
"""Names of the fusions of a head's levels -> their constructors, see `UperHead.fusion`."""


def uper_net(
  backbone: Architecture,
  num_classes: int,
  *,
  channels: int = 512,
  fusion: str = "conv",
  auxiliary_channels: int = 256,
  dropout_rate: float = 0.1,
) -> Headed:
  """Puts norms of the levels, UperNet's head and the auxiliary head on a backbone.

  The auxiliary head reads the last level but one.

  Source: official semantic_segmentation/configs.

  Args:
    backbone: architecture without a head.
    num_classes: number of classes K.
    channels: width of the head.
    fusion: name of the fusion of the head's levels, one of `FUSIONS`.
    auxiliary_channels: width of the auxiliary head; 0 for none.
    dropout_rate: probability that a channel of an example is dropped before the classifiers.

  Raises:
    InputError: if the backbone has one level alone.
  """
  features = backbone.features()
  if len(features) < 2:
    raise InputError(
      "segmentation needs a backbone of several levels: expected feature maps on ever coarser "
      f"grids, got {', '.join(feature.name for feature in features)} alone."
    )
  how = backbone.execution
  auxiliary = None
  if auxiliary_channels:
    auxiliary = FcnHead(num_classes, auxiliary_channels, dropout_rate, how)
  head = SegmentationHead(
    tuple(feature.name for feature in features),
    UperHead(
      num_classes,
      channels,
      fusion=FUSIONS[fusion],
      dropout_rate=dropout_rate,
      execution=how,
    ),
    auxiliary,
    len(features) - 2,
    how,
  )
  return attach_head(backbone, head)
