"""Heads on feature maps: of every position for segmentation, of regions for detection."""

from hornet_jax.dense.attach_detector import attach_detector
from hornet_jax.dense.box_head import ConvBoxHead, TwoLayerBoxHead
from hornet_jax.dense.conv_norm import ConvNorm
from hornet_jax.dense.detector import Detector
from hornet_jax.dense.fcn_head import FcnHead
from hornet_jax.dense.fpn import Fpn
from hornet_jax.dense.gnconv_norm import GnConvNorm
from hornet_jax.dense.level_norms import LevelNorms
from hornet_jax.dense.mask_head import MaskHead
from hornet_jax.dense.rpn import RpnHead
from hornet_jax.dense.segmentation_head import SegmentationHead
from hornet_jax.dense.uper_head import UperHead
from hornet_jax.dense.uper_net import attach_uper_net

__all__ = [
  "ConvBoxHead",
  "ConvNorm",
  "Detector",
  "FcnHead",
  "Fpn",
  "GnConvNorm",
  "LevelNorms",
  "MaskHead",
  "RpnHead",
  "SegmentationHead",
  "TwoLayerBoxHead",
  "UperHead",
  "attach_detector",
  "attach_uper_net",
]
