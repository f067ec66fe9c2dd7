"""Writes detection.npz: what PyTorch and torchvision make of boxes, and of maps within them.

Run: python tests/golden/make_detection.py

Needs torch and torchvision, in an environment of its own.
"""

import pathlib

import numpy as np
import torch
import torchvision
from torch.nn import functional
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops.poolers import LevelMapper

torch.manual_seed(0)
arrays = {}


def boxes_of(number, extent, largest, least=0.5):
  start = torch.rand(number, 2) * extent
  return torch.cat([start, start + least + torch.rand(number, 2) * (largest - least)], dim=1)


def keep(name, **values):
  arrays.update({f"{name}/{key}": value for key, value in values.items()})


# RoIAlign. The map is 12 x 16 positions of 4 pixels: 48 x 64 pixels.
borders = torch.tensor(
  [
    [-9, 10, 12, 30],  # over the left border,
    [10, -7, 30, 20],  # the top,
    [50, 10, 75, 30],  # the right,
    [20, 40, 40, 61],  # and the bottom
    [-20, -20, 90, 80],  # larger than the image
    [-3.9, -3.9, 5, 5],  # within one position of a corner
    [60, 44, 67.9, 51.9],
    [70, 60, 90, 80],  # outside
    [-40, -40, -10, -10],
    [13, 17, 13, 17],  # without area
    [13, 17, 33, 17],
    [20.2, 20.4, 20.3, 20.5],  # tiny
    [0, 0, 64, 48],  # the image
    [2, 2, 2.5, 46],  # elongated
  ],
  dtype=torch.float32,
)
rois = torch.cat([borders, boxes_of(10, 45, 30)])
for output, sampling in [(7, 2), (3, 2), (4, 3)]:
  x = torch.randn(1, 3, 12, 16, requires_grad=True)
  y = torchvision.ops.roi_align(
    x, [rois], output, spatial_scale=0.25, sampling_ratio=sampling, aligned=True
  )
  (y**2).sum().backward()
  keep(
    f"roi_align/{output}/{sampling}",
    x=x.detach()[0].permute(1, 2, 0),
    y=y.detach().permute(0, 2, 3, 1),
    gradient=x.grad[0].permute(1, 2, 0),
  )
arrays["roi_align/boxes"] = rois

boxes = torch.cat([boxes_of(40, 100, 700), boxes_of(20, 100, 60), boxes_of(4, 0, 2000, 1000)])
level = LevelMapper(2, 5)([boxes])
keep("level", boxes=boxes, level=level)

# A mask of the whole image, cropped: the object's box is 12 x 12 pixels of it.
masks = (torch.rand(8, 12, 12) > 0.4).float()
start = torch.randint(0, 18, (8, 2))
whole = torch.zeros(8, 1, 32, 32)
for one, mask, (left, top) in zip(whole, masks, start.tolist(), strict=True):
  one[0, top : top + 12, left : left + 12] = mask
objects = torch.cat([start, start + 12], dim=1).float()
around = objects + torch.randn(8, 4) * 2.5
around[0] = objects[0]
around[1] = torch.tensor([0, 0, 32, 32])
crops = torchvision.ops.roi_align(whole, list(around[:, None]), 7, sampling_ratio=2, aligned=True)
keep("crop", masks=masks, boxes=objects, rois=around, crops=crops[:, 0])

# Suppression: crowded boxes, some twice, some without area.
boxes = boxes_of(200, 60, 40)
boxes[50:60] = boxes[40:50]
boxes[60:64, 2] = boxes[60:64, 0]
scores = torch.rand(200)
tied = (scores * 10).round() / 10
groups = torch.randint(0, 4, (200,))
keep("nms", boxes=boxes, scores=scores, tied=tied, groups=groups)
for threshold in (0.3, 0.5, 0.7):
  one = torchvision.ops.nms(boxes, scores, threshold)
  ties = torchvision.ops.nms(boxes, tied, threshold)
  many = torchvision.ops.batched_nms(boxes, scores, groups, threshold)
  keep(f"nms/{threshold}", one=one, ties=ties, many=many)

# Codes; the last deltas reach the bound of scales.
references = boxes_of(30, 200, 90, 4)
boxes = boxes_of(30, 200, 90, 4)
coder = BoxCoder(weights=(10.0, 10.0, 5.0, 5.0))
deltas = torch.randn(30, 4) * torch.tensor([2.0, 2.0, 3.0, 3.0])
deltas[-4:, 2:] = 25
keep(
  "coder",
  references=references,
  boxes=boxes,
  codes=coder.encode_single(boxes, references),
  deltas=deltas,
  decoded=coder.decode_single(deltas, references),
)

# Losses, with the gradients of their sums.
predicted, target = boxes_of(30, 40, 40), boxes_of(30, 40, 40)
predicted[:3] = target[:3] + 0.25
predicted.requires_grad_()
loss = torchvision.ops.generalized_box_iou_loss(predicted, target)
loss.sum().backward()
keep("giou", predicted=predicted, target=target, loss=loss, gradient=predicted.grad)
keep("overlaps", iou=torchvision.ops.box_iou(predicted.detach(), target))
code, wanted = torch.randn(20, 4), torch.randn(20, 4)
keep("smooth_l1", predicted=code, target=wanted)
for beta in (0.0, 1 / 9, 1.0):
  x = code.clone().requires_grad_()
  loss = functional.smooth_l1_loss(x, wanted, beta=beta, reduction="none").sum(dim=1)
  loss.sum().backward()
  keep(f"smooth_l1/{round(beta, 3)}", loss=loss, gradient=x.grad)
logits, yes = (torch.randn(20) * 5).requires_grad_(), torch.rand(20) > 0.5
loss = functional.binary_cross_entropy_with_logits(logits, yes.float(), reduction="none")
loss.sum().backward()
keep("sigmoid", logits=logits, yes=yes, loss=loss, gradient=logits.grad)
logits, label = (torch.randn(20, 6) * 5).requires_grad_(), torch.randint(0, 6, (20,))
loss = functional.cross_entropy(logits, label, reduction="none")
loss.sum().backward()
keep("softmax", logits=logits, label=label, loss=loss, gradient=logits.grad)

# Anchors, which torchvision rounds to whole pixels.
for grid, stride in [((3, 4), 8), ((2, 1), 32)]:
  make = AnchorGenerator(sizes=((stride * 8,),), aspect_ratios=((0.5, 1.0, 2.0),))
  image = torch.zeros(1, 3, grid[0] * stride, grid[1] * stride)
  [anchors] = make(ImageList(image, [tuple(image.shape[2:])]), [torch.zeros(1, 3, *grid)])
  arrays[f"anchors/{grid[0]}x{grid[1]}/{stride}"] = anchors

# Masks of 7 x 7 parts, sampled at the centres of an image's pixels.
masks = torch.rand(10, 7, 7)
boxes = torch.cat([boxes_of(6, 30, 30), torch.tensor([[-8.0, 4, 12, 20], [30, 25, 60, 50]])])
boxes = torch.cat([boxes, torch.tensor([[-5.0, -5, 60, 60], [10.2, 10.3, 10.9, 11.1]])])
x0, y0, x1, y1 = boxes.unbind(1)
across = ((torch.arange(48) + 0.5)[None] - x0[:, None]) / (x1 - x0)[:, None] * 2 - 1
down = ((torch.arange(40) + 0.5)[None] - y0[:, None]) / (y1 - y0)[:, None] * 2 - 1
grid = torch.stack([across[:, None].expand(-1, 40, -1), down[:, :, None].expand(-1, -1, 48)], -1)
found = functional.grid_sample(masks[:, None], grid, align_corners=False)[:, 0]
keep("paste", masks=masks, boxes=boxes, found=found)

arrays = {key: value.detach().numpy() for key, value in arrays.items()}
np.savez_compressed(pathlib.Path(__file__).parent / "detection.npz", **arrays)
