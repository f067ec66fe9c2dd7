"""What detection puts on a backbone: a neck, proposals, and stages that look at regions."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from hornet_jax.dense.batch_mean import over_batch
from hornet_jax.dense.boxes.anchors import grid_anchors
from hornet_jax.dense.boxes.roi_align import roi_align
from hornet_jax.dense.detections import Detect
from hornet_jax.dense.fpn import Fpn
from hornet_jax.dense.image_context import read_objects, read_size
from hornet_jax.dense.level_norms import LevelNorms
from hornet_jax.dense.mask_head import MaskHead
from hornet_jax.dense.mask_loss import mask_sum, mask_targets, of_label
from hornet_jax.dense.proposals import Proposals, Proposer
from hornet_jax.dense.regions import Objects, Regions
from hornet_jax.dense.rpn import RpnHead
from hornet_jax.dense.rpn_loss import RpnLoss
from hornet_jax.dense.stage import Stage
from hornet_jax.errors import InputError
from hornet_jax.models.execution import Execution
from hornet_jax.models.param_info import ParamInfo, layer_param_info

_SALT = 0xDE7  # keeps these draws apart from those of drop path
_BOX_POINTS, _MASK_POINTS = 7, 14  # sides of the grids on which regions are sampled
_OF_CLASSES = ("/predict/", "/logits/")  # layers whose outputs are classes


class Detector(nn.Module):
  """A `Detector` finds the objects of an image: their boxes, classes and masks.

  With one stage it is a Mask R-CNN; with several, of which each moves the regions for the next, a
  Cascade Mask R-CNN.

  Source: Mask R-CNN (arXiv 1703.06870), Cascade R-CNN (arXiv 1712.00726, 1906.09756); `MaskRCNN`
  and `CascadeRCNN` of mmdet as the official configs for detection have them. Scores are the
  probabilities of the mean of the stages' logits, boxes those of the last stage, masks the mean of
  the stages' probabilities.
  Deviation: losses of samples are means over the whole batch (`over_batch`), not over the images of
  one device; further ones are told by `RpnLoss`, `Detect` and `roi_align`.

  Attributes:
    levels: names of the feature maps, from the finest on.
    strides: pixels of the image from one position to the next of each of them.
    num_classes: K.
    neck: network that makes maps of one width of them, and coarser ones beyond.
    rpn: head that says of anchors whether they show an object.
    box_heads: one head a stage, for class and box of a region.
    mask_heads: one head a stage, for the mask.
    stages: rules of the stages.
    rpn_loss: rule by which `rpn` is trained.
    train_proposer: rule by which boxes are proposed in training.
    proposer: the same otherwise.
    detect: rule by which detections are chosen.
    execution: the way in which the norms are computed.
  """

  levels: Sequence[str]
  strides: Sequence[int]
  num_classes: int
  neck: Fpn
  rpn: RpnHead
  box_heads: Sequence[nn.Module]
  mask_heads: Sequence[MaskHead]
  stages: Sequence[Stage]
  rpn_loss: RpnLoss = RpnLoss()
  train_proposer: Proposer = Proposer(before=2000, count=1000)
  proposer: Proposer = Proposer()
  detect: Detect = Detect()
  execution: Execution = Execution()

  @nn.compact
  def __call__(
    self,
    out: Mapping[str, Array],
    train: bool = False,
    keys: Key[Array, "B"] | None = None,
    context: Mapping[str, Array] | None = None,
  ) -> dict[str, Any]:
    """Finds objects, or computes the losses of finding them.

    Args:
      out: feature maps by their names.
      train: whether the detector is trained.
      keys: one random key for each example; needed in training.
      context: arrays that tell of the images: `size` int32 [B, 2], height and width of each within
        the canvas, which `out` covers; in training also `boxes` float32 [B, M, 4], corners
        (x0, y0, x1, y1) in pixels of the canvas, `labels` int32 [B, M], -1 for padding, and
        `masks` [B, M, m, m] of 0 and 1, whose extents are the boxes. None, but in training, for
        images as large as the canvas.

    Returns:
      In training `losses`, name -> float32 [B], weighted, the share of each image; their means over
      the batch are the losses to minimise. Otherwise what was found in each image, the surest
      first: `boxes` float32 [B, D, 4], corners in pixels of the canvas, `scores` float32 [B, D],
      `labels` int32 [B, D], -1 in empty slots, and `masks` float32 [B, D, 28, 28], probabilities of
      the object within its box.

    Raises:
      InputError: if `keys` or objects are missing in training.
    """
    maps = LevelNorms(self.execution, name="norms")([out[name] for name in self.levels])
    size = read_size(context, maps[0], self.strides[0])
    maps = self.neck(maps)
    strides = [*self.strides]
    while len(strides) < len(maps):
      strides.append(2 * strides[-1])
    anchors = [
      grid_anchors((x.shape[1], x.shape[2]), stride)
      for x, stride in zip(maps, strides, strict=True)
    ]
    logits, deltas = self.rpn(maps)
    proposer = self.train_proposer if train else self.proposer
    proposals = jax.vmap(
      lambda logits, deltas, size: proposer.propose(logits, deltas, anchors, size)
    )(logits, deltas, size)
    sampled = maps[: len(self.levels)]
    if not train:
      return self._find(sampled, proposals, size)
    if keys is None:
      raise InputError(
        "`keys` must be given to train a detector: expected one random key per example, got None. "
        "Hint: jax.random.split(key, batch_size)."
      )
    objects = read_objects(context)
    losses = self._train_rpn(
      jnp.concatenate(logits, axis=1),
      jnp.concatenate(deltas, axis=1),
      np.concatenate(anchors),
      objects,
      size,
      keys,
    )
    return {"losses": losses | self._train_stages(sampled, proposals, objects, size, keys)}

  @nn.nowrap
  def _train_rpn(
    self,
    logits: Float[Array, "B N"],
    deltas: Float[Array, "B N 4"],
    anchors: Float[np.ndarray, "N 4"],
    objects: Objects,
    size: Int[Array, "B 2"],
    keys: Key[Array, "B"],
  ) -> dict[str, Float[Array, "B"]]:
    def of_image(logits, deltas, boxes, real, size, key):
      matched, drawn = self.rpn_loss.draw(_fold(key, 0), anchors, size, boxes, real)
      sums = self.rpn_loss.sums(logits, deltas, anchors, boxes, matched, drawn)
      return sums, jnp.sum(drawn.valid)

    sums, counts = jax.vmap(of_image)(logits, deltas, objects.boxes, objects.real, size, keys)
    return {name: over_batch(value, counts) for name, value in sums.items()}

  @nn.nowrap
  def _train_stages(
    self,
    maps: Sequence[Float[Array, "B _ _ C"]],
    proposals: Proposals,
    objects: Objects,
    size: Int[Array, "B 2"],
    keys: Key[Array, "B"],
  ) -> dict[str, Float[Array, "B"]]:
    losses = {}
    for i, stage in enumerate(self.stages):
      salt = 1 + i
      regions = jax.vmap(
        lambda key, proposals, objects, stage=stage, salt=salt: stage.draw(
          _fold(key, salt), proposals, objects, self.num_classes
        )
      )(keys, proposals, objects)
      logits, deltas = self._look(i, maps, regions.boxes, train=True, valid=regions.valid)
      sums = jax.vmap(stage.sums)(logits, deltas, regions, objects.boxes)
      sampled, showing = (jnp.sum(of, axis=1) for of in (regions.valid, regions.positive))
      weights = {"class": stage.weight, "box": stage.weight * stage.box_weight}
      for name, weight in weights.items():
        losses[f"stage_{i}_{name}"] = weight * over_batch(sums[name], sampled)
      of_masks = self._train_masks(i, maps, regions, objects)
      losses[f"stage_{i}_mask"] = stage.weight * over_batch(of_masks, showing)
      if i + 1 < len(self.stages):
        moved = jax.vmap(stage.refine)(regions.boxes, logits, deltas, size, regions.labels)
        proposals = jax.vmap(Regions.kept)(regions, moved)
    return losses

  @nn.nowrap
  def _train_masks(
    self, stage: int, maps: Sequence[Float[Array, "B _ _ C"]], regions: Regions, objects: Objects
  ) -> Float[Array, "B"]:
    """Sums the losses of the masks in the first slots, the only ones that may show objects."""
    count = self.stages[stage].positives
    logits = self._mask(stage, self._sample(maps, regions.boxes[:, :count], _MASK_POINTS))
    points = logits.shape[2]
    targets = jax.vmap(lambda regions, objects: mask_targets(regions, objects, count, points))(
      regions, objects
    )
    return jax.vmap(mask_sum)(
      logits, regions.labels[:, :count], regions.positive[:, :count], targets
    )

  @nn.nowrap
  def _find(
    self,
    maps: Sequence[Float[Array, "B _ _ C"]],
    proposals: Proposals,
    size: Int[Array, "B 2"],
  ) -> dict[str, Array]:
    boxes, of_stages = proposals.boxes, []
    for i, stage in enumerate(self.stages):
      logits, deltas = self._look(i, maps, boxes)
      of_stages.append(logits)
      if i + 1 < len(self.stages):
        boxes = jax.vmap(stage.refine)(boxes, logits, deltas, size)
    scores = jax.nn.softmax(sum(of_stages) / len(of_stages))[..., :-1]  # [B, R, K]
    coder = self.stages[-1].coder
    decoded = jax.vmap(  # a box for each class of each region
      lambda deltas, boxes, size: coder.decode(deltas, boxes[:, None], size)
    )(deltas, boxes, size)
    found = jax.vmap(self.detect.choose)(scores, decoded, proposals.valid)
    features = self._sample(maps, found.boxes, _MASK_POINTS)
    masks = [
      jax.nn.sigmoid(jax.vmap(of_label)(self._mask(i, features), found.labels))
      for i in range(len(self.stages))
    ]
    return {**found._asdict(), "masks": sum(masks) / len(masks)}

  @nn.nowrap
  def _look(
    self,
    stage: int,
    maps: Sequence[Float[Array, "B _ _ C"]],
    boxes: Float[Array, "B R 4"],
    train: bool = False,
    valid: Bool[Array, "B R"] | None = None,
  ) -> tuple[Float[Array, "B R K1"], Float[Array, "B R K 4"]]:
    """Makes logits and encoded boxes of regions."""
    features = self._sample(maps, boxes, _BOX_POINTS)
    counted = None if valid is None else valid.reshape(-1)
    return _per_region(lambda x: self.box_heads[stage](x, train, counted), features)

  @nn.nowrap
  def _mask(self, stage: int, features: Float[Array, "B R P P C"]) -> Float[Array, "B R Q Q K"]:
    return _per_region(self.mask_heads[stage], features)

  @nn.nowrap
  def _sample(
    self, maps: Sequence[Float[Array, "B _ _ C"]], boxes: Float[Array, "B R 4"], points: int
  ) -> Float[Array, "B R P P C"]:
    with jax.named_scope("roi_align"):  # by which its products are told from those of the heads
      return jax.vmap(lambda maps, boxes: roi_align(maps, self.strides, boxes, points))(maps, boxes)

  def param_info(self, path: str) -> ParamInfo:
    """Tells what a parameter is, by its path in this module: layers of classes are head."""
    is_head = not path.startswith("rpn/") and any(layer in path for layer in _OF_CLASSES)
    info = dataclasses.replace(layer_param_info(path), head=is_head, neck=not is_head)
    if "/predict/deltas/" in path:
      return dataclasses.replace(info, per_class=4)
    if "/predict/logits/" in path:
      return dataclasses.replace(info, of_no_class=1)
    return info


def _per_region(head: Callable[[Array], Any], features: Float[Array, "B R P P C"]) -> Any:
  """Calls a head with the regions of all images as one batch."""
  batch, regions = features.shape[:2]
  found = head(features.reshape(-1, *features.shape[2:]))
  return jax.tree.map(lambda x: x.reshape(batch, regions, *x.shape[1:]), found)


def _fold(key: Key[Array, ""], place: int) -> Key[Array, ""]:
  """Derives the key of a place in the detector from that of the example."""
  return jax.random.fold_in(key, _SALT + place)
