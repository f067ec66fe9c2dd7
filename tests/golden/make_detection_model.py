"""Writes detection_model.npz: what torchvision's Mask R-CNN makes of small feature maps.

Run: python tests/golden/make_detection_model.py

Needs PyTorch and torchvision, in an environment of their own. All parts are torchvision's, but for
two that this package has as mmdet does: corners of anchors are not rounded, and regions are sampled
with `aligned=True`. Classes are 1 to K, and 0 is the background.
"""

import pathlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torchvision.models.detection import (
  MaskRCNN,
  anchor_utils,
  faster_rcnn,
  mask_rcnn,
  roi_heads,
  rpn,
)
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign, roi_align
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

torch.manual_seed(0)
CANVAS, SIZES = (64, 128), [(64, 128), (50, 100)]
WIDTHS, CHANNELS, CLASSES, STRIDES = (4, 6, 8, 10), 8, 3, (4, 8, 16, 32)
PROPOSALS, DETECTIONS, ANCHOR_SAMPLES, SAMPLES, POSITIVES, BETA = 40, 20, 32, 24, 6, 1 / 9


class Neck(nn.Module):
  out_channels = CHANNELS

  def __init__(self):
    super().__init__()
    self.fpn = FeaturePyramidNetwork(list(WIDTHS), CHANNELS, LastLevelMaxPool())

  def forward(self, maps):
    normed = [
      functional.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2], eps=1e-6).permute(0, 3, 1, 2)
      for x in maps
    ]
    return self.fpn({str(i): x for i, x in enumerate(normed)})


class Anchors(anchor_utils.AnchorGenerator):
  def generate_anchors(self, scales, aspect_ratios, dtype=torch.float32, device="cpu"):
    root = torch.sqrt(torch.tensor(aspect_ratios, dtype=torch.float64))
    half = torch.stack([1 / root, root], 1) * scales[0] / 2
    return torch.cat([-half, half], 1).to(dtype)

  def set_cell_anchors(self, dtype, device):
    pass


class Pool(MultiScaleRoIAlign):
  def __init__(self, points):
    super().__init__(list("0123"), points, 2)
    self.points = points

  def forward(self, features, boxes, sizes):
    rows = [torch.cat([torch.full((len(b), 1), float(i)), b], 1) for i, b in enumerate(boxes)]
    rows = torch.cat(rows)
    sides = (rows[:, 3:] - rows[:, 1:3]).prod(1).sqrt()
    level = torch.floor(torch.log2(sides / 56 + 1e-6)).clamp(0, 3)
    out = torch.zeros(len(rows), CHANNELS, self.points, self.points)
    for i, stride in enumerate(STRIDES):
      chosen = torch.where(level == i)[0]
      part = roi_align(
        features[str(i)], rows[chosen], self.points, 1 / stride, sampling_ratio=2, aligned=True
      )
      out = out.index_put((chosen,), part)
    return out


class Drawn(nn.Module):
  """Takes the place of a sampler: what is drawn is known."""

  def __call__(self, labels):
    return self.positive, self.negative


model = MaskRCNN(
  Neck(),
  num_classes=None,
  rpn_anchor_generator=Anchors(((32,), (64,), (128,), (256,), (512,)), ((0.5, 1.0, 2.0),) * 5),
  rpn_head=faster_rcnn.RPNHead(CHANNELS, 3),
  rpn_pre_nms_top_n_test=PROPOSALS,
  rpn_post_nms_top_n_test=PROPOSALS,
  box_roi_pool=Pool(7),
  box_head=faster_rcnn.TwoMLPHead(CHANNELS * 49, 16),
  box_predictor=faster_rcnn.FastRCNNPredictor(16, CLASSES + 1),
  box_detections_per_img=DETECTIONS,
  mask_roi_pool=Pool(14),
  mask_head=mask_rcnn.MaskRCNNHeads(CHANNELS, (CHANNELS,) * 4, 1),
  mask_predictor=mask_rcnn.MaskRCNNPredictor(CHANNELS, CHANNELS, CLASSES + 1),
).eval()
for name, parameter in model.named_parameters():
  fan_in = parameter[0].numel()
  scale = 0.05 if parameter.ndim == 1 else (1.5 / fan_in) ** 0.5
  if "bbox_pred" in name:
    scale *= 0.3  # boxes that stay finite, and near
  nn.init.normal_(parameter, std=scale)

arrays = {f"param/{name}": value for name, value in model.named_parameters()}
arrays["sizes"] = np.array(SIZES)
maps = [
  torch.randn(2, width, CANVAS[0] // stride, CANVAS[1] // stride, requires_grad=True)
  for width, stride in zip(WIDTHS, STRIDES, strict=True)
]
arrays |= {f"map{i}": x for i, x in enumerate(maps)}

# What is found.
features = model.backbone(maps)
images = ImageList(torch.zeros(2, 3, *CANVAS), SIZES)
logits, deltas = model.rpn.head(list(features.values()))
for i, (of, code) in enumerate(zip(logits, deltas, strict=True)):
  batch, _, height, width = of.shape
  arrays[f"rpn/logits{i}"] = of.permute(0, 2, 3, 1).reshape(batch, -1)
  code = code.view(batch, 3, 4, height, width).permute(0, 3, 4, 1, 2)
  arrays[f"rpn/deltas{i}"] = code.reshape(batch, -1, 4)
anchors = model.rpn.anchor_generator(images, list(features.values()))
proposals, _ = model.rpn(images, features)
for i, boxes in enumerate(proposals):
  arrays[f"proposals{i}"] = boxes
box_features = model.roi_heads.box_head(model.roi_heads.box_roi_pool(features, proposals, SIZES))
arrays["box/logits"], arrays["box/deltas"] = model.roi_heads.box_predictor(box_features)
found, _ = model.roi_heads(features, proposals, SIZES)
for i, of in enumerate(found):
  arrays |= {f"found{i}/{name}": of[name] for name in ("boxes", "scores", "labels", "masks")}
  print(f"image {i}: {len(proposals[i])} proposals, {len(of['boxes'])} detections")

# What is learned of anchors and regions that are drawn here.
targets = [
  {
    "boxes": torch.tensor([[3.0, 5, 40, 45], [60, 10, 125, 62], [20, 30, 44, 50]]),
    "labels": torch.tensor([1, 3, 2]),
  },
  {"boxes": torch.tensor([[10.0, 8, 90, 48]]), "labels": torch.tensor([2])},
]
for i, target in enumerate(targets):
  arrays |= {f"object{i}/{name}": value for name, value in target.items()}
of_anchors, matched_boxes = model.rpn.assign_targets_to_anchors(anchors, targets)
drawn = Drawn()
drawn.positive, drawn.negative = [], []
for i, of in enumerate(of_anchors):
  positive, negative = (torch.where(of == kind)[0] for kind in (1, 0))
  positive = positive[torch.randperm(len(positive))][: ANCHOR_SAMPLES // 2]
  negative = negative[torch.randperm(len(negative))][: ANCHOR_SAMPLES - len(positive)]
  arrays[f"rpn/positive{i}"], arrays[f"rpn/negative{i}"] = positive, negative
  shown = [
    torch.where((targets[i]["boxes"] == box).all(1))[0][0] for box in matched_boxes[i][positive]
  ]
  arrays[f"rpn/objects{i}"] = torch.stack(shown)
  for kind, chosen in ((drawn.positive, positive), (drawn.negative, negative)):
    kind.append(torch.zeros(len(of), dtype=torch.uint8).index_fill(0, chosen, 1))
model.rpn.fg_bg_sampler = drawn
flat_logits, flat_deltas = rpn.concat_box_prediction_layers(list(logits), list(deltas))
codes = model.rpn.box_coder.encode(matched_boxes, anchors)
losses = dict(
  zip(
    ("rpn_class", "rpn_box"),
    model.rpn.compute_loss(flat_logits, flat_deltas, of_anchors, codes),
    strict=True,
  )
)

regions, labels, codes = [], [], []
for i, target in enumerate(targets):
  objects = torch.randint(len(target["boxes"]), (POSITIVES,))
  showing = target["boxes"][objects] + 4 * torch.randn(POSITIVES, 4)
  regions.append(torch.cat([showing, proposals[i][: SAMPLES - POSITIVES]]).detach())
  label = torch.zeros(len(regions[i]), dtype=torch.int64)
  label[:POSITIVES] = target["labels"][objects]
  labels.append(label)
  arrays |= {f"region{i}/boxes": regions[i], f"region{i}/objects": objects}
  goals = regions[i].clone()
  goals[:POSITIVES] = target["boxes"][objects]
  codes.append(goals)
codes = model.roi_heads.box_coder.encode(codes, regions)
box_features = model.roi_heads.box_head(model.roi_heads.box_roi_pool(features, regions, SIZES))
predicted = model.roi_heads.box_predictor(box_features)
losses["class"], losses["box"] = roi_heads.fastrcnn_loss(*predicted, labels, codes)

showing = [boxes[:POSITIVES] for boxes in regions]
mask_features = model.roi_heads.mask_head(model.roi_heads.mask_roi_pool(features, showing, SIZES))
mask_logits = model.roi_heads.mask_predictor(mask_features)
points = torch.rand(mask_logits[:, 0].shape) > 0.5
arrays["mask_targets"] = points
of = torch.cat([label[:POSITIVES] for label in labels])
mask_logits = mask_logits[torch.arange(len(of)), of]
losses["mask"] = functional.binary_cross_entropy_with_logits(mask_logits, points.float())
arrays |= {f"loss/{name}": value for name, value in losses.items()}
sum(losses.values()).backward()
arrays |= {f"grad/map{i}": x.grad for i, x in enumerate(maps)}
for name in (
  "backbone.fpn.layer_blocks.0.0.weight",
  "rpn.head.conv.0.0.weight",
  "roi_heads.box_head.fc6.weight",
  "roi_heads.mask_predictor.conv5_mask.weight",
):
  arrays[f"grad/param/{name}"] = model.get_parameter(name).grad
print({name: value.item() for name, value in losses.items()})

arrays = {k: v.detach().numpy() if isinstance(v, torch.Tensor) else v for k, v in arrays.items()}
arrays = {k: v.astype(np.int32) if v.dtype == np.int64 else v for k, v in arrays.items()}
np.savez_compressed(pathlib.Path(__file__).parent / "detection_model.npz", **arrays)
