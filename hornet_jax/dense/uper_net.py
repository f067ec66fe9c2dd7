"""UperNet is put on a backbone: norms of its levels, the head, and an auxiliary head."""

import functools

from hornet_jax.dense.backbone_levels import backbone_levels
from hornet_jax.dense.fcn_head import FcnHead
from hornet_jax.dense.gnconv_norm import GnConvNorm
from hornet_jax.dense.segmentation_head import SegmentationHead
from hornet_jax.dense.uper_head import UperHead
from hornet_jax.errors import unknown_name
from hornet_jax.models import Architecture, attach_head

_FUSIONS = {
  "conv": None,
  "7x7": functools.partial(GnConvNorm, filter="7x7"),
  "gf": functools.partial(GnConvNorm, filter=(32, 17)),
}


def attach_uper_net(
  backbone: Architecture,
  num_classes: int,
  *,
  channels: int = 512,
  fusion: str = "conv",
  auxiliary_channels: int = 256,
  dropout_rate: float = 0.1,
) -> Architecture:
  """Puts UperNet's heads on a backbone; the auxiliary one reads the last level but one.

  Source: UperNet (arXiv 1807.10221); HorFPN's gnConv (arXiv 2207.14284, section 3.3).

  Args:
    backbone: architecture of several levels; its last norm and its classifier are left out.
    num_classes: number K of classes.
    channels: width of the head.
    fusion: fusion of the head's levels: `"conv"`, or a gnConv (HorFPN) with the filter `"7x7"` or
      `"gf"`.
    auxiliary_channels: width of the auxiliary head; 0 for none.
    dropout_rate: probability that a channel of an example is dropped before the classifiers.

  Raises:
    InputError: if the backbone has one level alone or is no whole architecture, or there is no such
      fusion.
  """
  if fusion not in _FUSIONS:
    raise unknown_name("fusion", fusion, _FUSIONS)
  features = backbone_levels(backbone, "segmentation")
  how, auxiliary = backbone.execution, None
  if auxiliary_channels:
    auxiliary = FcnHead(num_classes, auxiliary_channels, dropout_rate, how)
  decode = UperHead(
    num_classes, channels, fusion=_FUSIONS[fusion], dropout_rate=dropout_rate, execution=how
  )
  levels = tuple(feature.name for feature in features)
  head = SegmentationHead(levels, decode, auxiliary, len(features) - 2, how)
  return attach_head(backbone, head)
