"""The layers of a detector in mmdet's checkpoints: their names and layouts, here and there."""

import enum
import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

_REGION = 7  # side of the grid on which a box head sees a region


class Layout(enum.Enum):
  """A layout is how PyTorch lays the weight of a layer, and how it is laid here."""

  CONV = "[out, in, h, w], here [h, w, in, out]"
  POINT = "1x1 convolution [out, in, 1, 1], here a linear layer [in, out]"
  LINEAR = "[out, in], here [in, out]"
  REGION = "linear layer on a region, [out, (C, h, w)], here [(h, w, C), out]"
  TRANSPOSED = "[in, out, h, w], here [h, w, in, out] and turned by half a circle"
  NORM = "[C], here called a scale"


class Layer(NamedTuple):
  """A `Layer` is a layer of a detector.

  Attributes:
    theirs: its name in mmdet, with `{}` for numbers.
    ours: its path here, with dots and the same numbers in the same order.
    layout: layout of its weight.
  """

  theirs: str
  ours: str
  layout: Layout


_BOX, _MASK = "roi_head.bbox_head.{}", "roi_head.mask_head.{}"
_COMMON = (
  Layer("neck.lateral_convs.{}.conv", "neck.lateral_{}", Layout.CONV),
  Layer("neck.fpn_convs.{}.conv", "neck.smooth_{}", Layout.CONV),
  Layer("rpn_head.rpn_conv", "rpn.conv", Layout.CONV),
  Layer("rpn_head.rpn_cls", "rpn.logits", Layout.POINT),
  Layer("rpn_head.rpn_reg", "rpn.deltas", Layout.POINT),
  Layer(f"{_BOX}.fc_cls", "box_heads_{}.predict.logits", Layout.LINEAR),
  Layer(f"{_BOX}.fc_reg", "box_heads_{}.predict.deltas", Layout.LINEAR),
  Layer(f"{_MASK}.convs.{{}}.conv", "mask_heads_{}.conv_{}", Layout.CONV),
  Layer(f"{_MASK}.upsample", "mask_heads_{}.enlarge", Layout.TRANSPOSED),
  Layer(f"{_MASK}.conv_logits", "mask_heads_{}.logits", Layout.POINT),
)
# A box head of convolutions has one linear layer behind them; another one has two.
_CASCADE = (
  Layer(f"{_BOX}.shared_convs.{{}}.conv", "box_heads_{}.conv_{}.conv", Layout.CONV),
  Layer(f"{_BOX}.shared_convs.{{}}.bn", "box_heads_{}.conv_{}.bn", Layout.NORM),
  Layer(f"{_BOX}.shared_fcs.0", "box_heads_{}.fc", Layout.REGION),
)
_MASK_RCNN = (
  Layer(f"{_BOX}.shared_fcs.0", "box_heads_{}.fc_0", Layout.REGION),
  Layer(f"{_BOX}.shared_fcs.1", "box_heads_{}.fc_1", Layout.LINEAR),
)
_ONE_STAGE = re.compile(r"(roi_head\.(?:bbox|mask)_head)\.(?!\d)")


def layers_of(kind: str) -> tuple[Layer, ...]:
  """Lists the layers of a detector but for its backbone, the norms of its levels and gnConvs.

  Args:
    kind: `"cascade"` or `"mask_rcnn"`.
  """
  return _COMMON + (_CASCADE if kind == "cascade" else _MASK_RCNN)


def kind_of(names: Iterable[str]) -> str:
  """Tells a cascade, whose heads are numbered in mmdet, from a Mask R-CNN, which has one of each.

  Args:
    names: names of arrays in mmdet.
  """
  heads = [name for name in names if name.startswith("roi_head.")]
  return "mask_rcnn" if heads and all(map(_ONE_STAGE.match, heads)) else "cascade"


def numbered(name: str) -> str:
  """Gives the one head of a Mask R-CNN the number that the heads of a cascade have in mmdet."""
  return _ONE_STAGE.sub(r"\1.0.", name)


def unnumbered(name: str) -> str:
  """Undoes `numbered`."""
  return re.sub(r"^(roi_head\.(?:bbox|mask)_head)\.0\.", r"\1.", name)


def match(pattern: str, result: str, name: str) -> str | None:
  """Writes the numbers of a name into another one; None where it is not of the pattern.

  Args:
    pattern: name with `{}` for numbers.
    result: name with as many `{}`.
    name: name with numbers.
  """
  found = re.fullmatch(re.escape(pattern).replace(r"\{\}", r"(\d+)"), name)
  return result.format(*found.groups()) if found else None


def kernel_from(layout: Layout, weight: np.ndarray) -> np.ndarray | None:
  """Lays a weight of PyTorch as it is laid here; None where its shape is none of the layout."""
  if layout is Layout.NORM:
    return weight if weight.ndim == 1 else None
  if layout is Layout.CONV:
    return weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else None
  if layout is Layout.TRANSPOSED:
    return weight.transpose(2, 3, 0, 1)[::-1, ::-1] if weight.ndim == 4 else None
  if layout is Layout.POINT:
    return weight[:, :, 0, 0].T if weight.ndim == 4 and weight.shape[2:] == (1, 1) else None
  if weight.ndim != 2:
    return None
  if layout is Layout.REGION:
    if weight.shape[1] % _REGION**2:
      return None
    regions = weight.reshape(len(weight), -1, _REGION, _REGION)
    return regions.transpose(2, 3, 1, 0).reshape(-1, len(weight))
  return weight.T


def weight_from(layout: Layout, kernel: np.ndarray) -> np.ndarray:
  """Undoes `kernel_from`."""
  if layout is Layout.NORM:
    return kernel
  if layout is Layout.CONV:
    return kernel.transpose(3, 2, 0, 1)
  if layout is Layout.TRANSPOSED:
    return kernel[::-1, ::-1].transpose(2, 3, 0, 1)
  if layout is Layout.POINT:
    return kernel.T[:, :, None, None]
  if layout is Layout.REGION:
    regions = kernel.reshape(_REGION, _REGION, -1, kernel.shape[1])
    return regions.transpose(3, 2, 0, 1).reshape(kernel.shape[1], -1)
  return kernel.T
