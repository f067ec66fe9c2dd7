"""Numerics of boxes, without parameters: what a detector's heads are trained by and read with.

A box is (x0, y0, x1, y1), corners in pixels, in float32. Functions are those of one image, of fixed
shapes: what is padding is told by masks, and readers map them over a batch by `jax.vmap`.
"""

from hornet_jax.dense.boxes.anchors import grid_anchors
from hornet_jax.dense.boxes.assign import BACKGROUND, NEITHER, Assigner
from hornet_jax.dense.boxes.box_losses import (
  giou_loss,
  sigmoid_cross_entropy,
  smooth_l1,
  softmax_cross_entropy,
)
from hornet_jax.dense.boxes.coder import BoxCoder
from hornet_jax.dense.boxes.largest import largest
from hornet_jax.dense.boxes.nms import best, suppress
from hornet_jax.dense.boxes.overlap import area, clip_boxes, generalized_overlap, overlaps
from hornet_jax.dense.boxes.paste import paste_mask
from hornet_jax.dense.boxes.roi_align import crop_masks, level_of, roi_align
from hornet_jax.dense.boxes.sample import Sample, positive_slots, sample

__all__ = [
  "BACKGROUND",
  "NEITHER",
  "Assigner",
  "BoxCoder",
  "Sample",
  "area",
  "best",
  "clip_boxes",
  "crop_masks",
  "generalized_overlap",
  "giou_loss",
  "grid_anchors",
  "largest",
  "level_of",
  "overlaps",
  "paste_mask",
  "positive_slots",
  "roi_align",
  "sample",
  "sigmoid_cross_entropy",
  "smooth_l1",
  "softmax_cross_entropy",
  "suppress",
]
