"""A detector is put on a backbone: Mask R-CNN or Cascade Mask R-CNN, with any neck."""

import dataclasses
import functools

from hornet_jax.dense.backbone_levels import backbone_levels
from hornet_jax.dense.box_head import ConvBoxHead, TwoLayerBoxHead
from hornet_jax.dense.boxes.assign import Assigner
from hornet_jax.dense.boxes.coder import BoxCoder
from hornet_jax.dense.detections import Detect
from hornet_jax.dense.detector import Detector
from hornet_jax.dense.fpn import Fpn
from hornet_jax.dense.mask_head import MaskHead
from hornet_jax.dense.proposals import Proposer
from hornet_jax.dense.rpn import RpnHead
from hornet_jax.dense.rpn_loss import RpnLoss
from hornet_jax.dense.stage import Stage
from hornet_jax.errors import unknown_name
from hornet_jax.models import Architecture, attach_head
from hornet_jax.models.gnconv import GnConv

_NECKS = {
  "conv": None,
  "7x7": functools.partial(GnConv, order=2, filter="7x7"),
  "gf": functools.partial(GnConv, order=2, filter=(32, 17)),
}


@dataclasses.dataclass(frozen=True)
class _Kind:
  """What the official configs (object_detection/configs) set for a kind of detector."""

  box_head: type[TwoLayerBoxHead] | type[ConvBoxHead]
  stages: tuple[Stage, ...]
  rpn_loss: RpnLoss
  train_proposals: int


_KINDS = {
  "mask_rcnn": _Kind(
    TwoLayerBoxHead,
    (
      Stage(
        Assigner(0.5, 0.5, least=0.5),
        BoxCoder((0.1, 0.1, 0.2, 0.2)),
        box_loss="smooth_l1",  # L1, as its `beta` is 0
        box_weight=1.0,
      ),
    ),
    RpnLoss(),
    1000,
  ),
  "cascade": _Kind(
    ConvBoxHead,
    (
      Stage(Assigner(0.5, 0.5), BoxCoder((0.1, 0.1, 0.2, 0.2)), weight=1.0),
      Stage(Assigner(0.6, 0.6), BoxCoder((0.05, 0.05, 0.1, 0.1)), weight=0.5),
      Stage(Assigner(0.7, 0.7), BoxCoder((0.033, 0.033, 0.067, 0.067)), weight=0.25),
    ),
    RpnLoss(beta=1 / 9, whole=True),
    2000,
  ),
}


def attach_detector(
  backbone: Architecture,
  num_classes: int,
  *,
  kind: str = "cascade",
  neck: str = "conv",
  channels: int = 256,
  hidden: int = 1024,
  train_proposals: int | None = None,
  proposals: int = 1000,
  compared: int = 2000,
  anchor_samples: int = 256,
  samples: int = 512,
  detections: int = 100,
  least_score: float = 0.05,
) -> Architecture:
  """Puts a detector on a backbone; the defaults are those of the published models.

  Source: Mask R-CNN (arXiv 1703.06870); Cascade Mask R-CNN (arXiv 1906.09756); HorFPN's gnConv
  (arXiv 2207.14284, section 3.3).

  Args:
    backbone: architecture of several levels; its last norm and its classifier are left out.
    num_classes: number K of classes.
    kind: `"cascade"` of three stages, whose box heads have convolutions and batch normalization,
      or `"mask_rcnn"`, with one stage of two linear layers.
    neck: what a level of the neck ends with: `"conv"`, or a gnConv (HorFPN) with the filter
      `"7x7"` or `"gf"`.
    channels: width of the neck and of all convolutions behind it.
    hidden: width of the linear layers of the box heads.
    train_proposals: number of boxes that are proposed in training; None for what is published,
      1,000 for Mask R-CNN and 2,000 for the cascade.
    proposals: number of boxes that are proposed otherwise, chosen among as many of each level.
    compared: number of likeliest anchors of each level among which those of training are chosen.
    anchor_samples: number of anchors of an image that the proposals' loss is of.
    samples: number of regions of an image that the losses of a stage are of.
    detections: largest number of objects that are reported of an image.
    least_score: score that is exceeded by what is reported.

  Raises:
    InputError: if the backbone has one level alone or is no whole architecture, or a name is
      unknown.
  """
  features = backbone_levels(backbone, "detection")
  if kind not in _KINDS:
    raise unknown_name("kind", kind, _KINDS)
  if neck not in _NECKS:
    raise unknown_name("neck", neck, _NECKS)
  how, of_kind = backbone.execution, _KINDS[kind]
  widths = {"hidden": hidden, "execution": how}
  if of_kind.box_head is ConvBoxHead:
    widths["channels"] = channels
  count = len(of_kind.stages)
  head = Detector(
    levels=tuple(feature.name for feature in features),
    strides=tuple(feature.stride for feature in features),
    num_classes=num_classes,
    neck=Fpn(channels, len(features) + 1, _NECKS[neck], how),
    rpn=RpnHead(channels, execution=how),
    box_heads=tuple(of_kind.box_head(num_classes, **widths) for _ in range(count)),
    mask_heads=tuple(MaskHead(num_classes, channels, execution=how) for _ in range(count)),
    stages=tuple(dataclasses.replace(stage, count=samples) for stage in of_kind.stages),
    rpn_loss=dataclasses.replace(of_kind.rpn_loss, count=anchor_samples),
    train_proposer=Proposer(before=compared, count=train_proposals or of_kind.train_proposals),
    proposer=Proposer(before=proposals, count=proposals),
    detect=Detect(least_score=least_score, count=detections),
    execution=how,
  )
  return attach_head(backbone, head)
