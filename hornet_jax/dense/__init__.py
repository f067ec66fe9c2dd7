"""Parts of networks that say something of every position: heads on feature maps."""

from hornet_jax.dense.conv_norm import ConvNorm
from hornet_jax.dense.fcn_head import FcnHead
from hornet_jax.dense.gnconv_norm import GnConvNorm
from hornet_jax.dense.level_norms import LevelNorms
from hornet_jax.dense.segmentation_head import SegmentationHead
from hornet_jax.dense.uper_head import UperHead
from hornet_jax.dense.uper_net import attach_uper_net

__all__ = [
  "ConvNorm",
  "FcnHead",
  "GnConvNorm",
  "LevelNorms",
  "SegmentationHead",
  "UperHead",
  "attach_uper_net",
]
