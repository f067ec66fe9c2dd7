"""A small Mask R-CNN equals torchvision's, step by step, and in what it learns of given samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_data import GOLDEN, assert_close

from hornet_jax.dense import Detector, Fpn, LevelNorms, MaskHead, RpnHead, TwoLayerBoxHead
from hornet_jax.dense.batch_mean import over_batch
from hornet_jax.dense.boxes import Assigner, BoxCoder, Sample, grid_anchors, roi_align
from hornet_jax.dense.detections import Detect
from hornet_jax.dense.mask_loss import mask_sum
from hornet_jax.dense.proposals import Proposer
from hornet_jax.dense.regions import Regions
from hornet_jax.dense.rpn_loss import RpnLoss
from hornet_jax.dense.stage import Stage

CLASSES, CHANNELS, HIDDEN, STRIDES = 3, 8, 16, (4, 8, 16, 32)
STAGE = Stage(
  Assigner(0.5, 0.5, 0.5), BoxCoder((0.1, 0.1, 0.2, 0.2)), 1.0, "smooth_l1", 1.0, beta=1 / 9
)
RPN_LOSS = RpnLoss(beta=1 / 9)
PROPOSER = Proposer(40, 40)
NECK, RPN = Fpn(CHANNELS), RpnHead(CHANNELS)
BOX_HEAD, MASK_HEAD = TwoLayerBoxHead(CLASSES, HIDDEN), MaskHead(CLASSES, CHANNELS)
DETECTOR = Detector(
  ("a", "b", "c", "d"),
  STRIDES,
  CLASSES,
  NECK,
  RPN,
  (BOX_HEAD,),
  (MASK_HEAD,),
  (STAGE,),
  proposer=PROPOSER,
  detect=Detect(count=20),
)


def of_conv(arrays, name, kernel=lambda x: x.transpose(2, 3, 1, 0)):
  return {"kernel": kernel(arrays[f"{name}.weight"]), "bias": arrays[f"{name}.bias"]}


def of_point(arrays, name):
  return of_conv(arrays, name, lambda x: x[:, :, 0, 0].T)


def of_linear(arrays, name):
  return of_conv(arrays, name, np.transpose)


def renamed(arrays):
  """torchvision's parameters -> ours: the background last, channels of a region last."""
  classes = [*range(1, CLASSES + 1), 0]
  logits = of_linear(arrays, "roi_heads.box_predictor.cls_score")
  deltas = of_linear(arrays, "roi_heads.box_predictor.bbox_pred")
  masks = of_point(arrays, "roi_heads.mask_predictor.mask_fcn_logits")
  fpn = {
    f"{ours}_{i}": of_conv(arrays, f"backbone.fpn.{theirs}.{i}.0")
    for ours, theirs in (("lateral", "inner_blocks"), ("smooth", "layer_blocks"))
    for i in range(4)
  }
  norms = {
    f"norm_{i}": {"scale": np.ones(width), "bias": np.zeros(width)}
    for i, width in enumerate((4, 6, 8, 10))
  }
  return {
    "norms": norms,
    "neck": fpn,
    "rpn": {
      "conv": of_conv(arrays, "rpn.head.conv.0.0"),
      "logits": of_point(arrays, "rpn.head.cls_logits"),
      "deltas": of_point(arrays, "rpn.head.bbox_pred"),
    },
    "box_heads_0": {
      "fc_0": of_conv(arrays, "roi_heads.box_head.fc6", region_kernel),
      "fc_1": of_linear(arrays, "roi_heads.box_head.fc7"),
      "predict": {
        "logits": {name: value[..., classes] for name, value in logits.items()},
        "deltas": {name: value[..., 4:] for name, value in deltas.items()},
      },
    },
    "mask_heads_0": {
      **{f"conv_{i}": of_conv(arrays, f"roi_heads.mask_head.{i}.0") for i in range(4)},
      "enlarge": of_conv(arrays, "roi_heads.mask_predictor.conv5_mask", enlarging_kernel),
      "logits": {name: value[..., 1:] for name, value in masks.items()},
    },
  }


def region_kernel(value):
  return value.reshape(-1, CHANNELS, 7, 7).transpose(2, 3, 1, 0).reshape(-1, len(value))


def enlarging_kernel(value):
  return value.transpose(2, 3, 0, 1)[::-1, ::-1]


@pytest.fixture(scope="module")
def golden():
  return dict(np.load(GOLDEN / "detection_model.npz"))


@pytest.fixture(scope="module")
def params(golden):
  given = {k.removeprefix("param/"): v for k, v in golden.items() if k.startswith("param/")}
  return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), renamed(given))


@pytest.fixture(scope="module")
def maps(golden):
  return [jnp.asarray(golden[f"map{i}"].transpose(0, 2, 3, 1)) for i in range(4)]


def anchors_of(pyramid):
  return [
    grid_anchors(x.shape[1:3], stride) for x, stride in zip(pyramid, (*STRIDES, 64), strict=True)
  ]


def pyramid_of(params, maps):
  normed = LevelNorms().apply({"params": params["norms"]}, maps)
  return NECK.apply({"params": params["neck"]}, normed)


def look(module, params, pyramid, boxes, points):
  """What a head makes of regions [B, R, 4]."""
  features = jax.vmap(lambda maps, boxes: roi_align(maps, STRIDES, boxes, points))(
    pyramid[:4], boxes
  )
  found = module.apply({"params": params}, features.reshape(-1, points, points, CHANNELS))
  return jax.tree.map(lambda x: x.reshape(*boxes.shape[:2], *x.shape[1:]), found)


def test_anchors_and_proposals_and_regions(golden, params, maps):
  """Logits and boxes of all anchors, what is proposed, and classes and boxes of that."""
  size = jnp.asarray(golden["sizes"])

  @jax.jit
  def found(params, maps):
    pyramid = pyramid_of(params, maps)
    logits, deltas = RPN.apply({"params": params["rpn"]}, pyramid)
    anchors = anchors_of(pyramid)
    proposals = jax.vmap(lambda *of: PROPOSER.propose(of[0], of[1], anchors, of[2]))(
      logits, deltas, size
    )
    of_regions = look(BOX_HEAD, params["box_heads_0"], pyramid, proposals.boxes, 7)
    return logits, deltas, proposals, of_regions

  logits, deltas, proposals, of_regions = found(params, maps)
  for i in range(5):
    assert_close(logits[i], golden[f"rpn/logits{i}"], 1e-4, f"logits of level {i}")
    assert_close(deltas[i], golden[f"rpn/deltas{i}"], 1e-4, f"boxes of level {i}")
  assert proposals.valid.all()
  for i in range(2):
    assert_close(proposals.boxes[i], golden[f"proposals{i}"], 1e-4, f"proposals {i}")
  classes = [*range(1, CLASSES + 1), 0]
  expected = golden["box/logits"][:, classes].reshape(2, -1, CLASSES + 1)
  assert_close(of_regions[0], expected, 1e-4, "logits of regions")
  expected = golden["box/deltas"].reshape(2, -1, CLASSES + 1, 4)[:, :, 1:]
  assert_close(of_regions[1], expected, 1e-4, "boxes of regions")


def test_what_is_found(golden, params, maps):
  """The same objects, whatever their order: class, score, box and mask."""
  named = dict(zip("abcd", maps, strict=True))
  context = {"size": jnp.asarray(golden["sizes"])}
  found = jax.jit(lambda params: DETECTOR.apply({"params": params}, named, context=context))(params)
  for i in range(2):
    labels = golden[f"found{i}/labels"] - 1
    ours = np.lexsort((-found["scores"][i], found["labels"][i]))
    theirs = np.lexsort((-golden[f"found{i}/scores"], labels))
    np.testing.assert_array_equal(found["labels"][i][ours], labels[theirs])
    assert len(set(labels.tolist())) > 1
    for name in ("scores", "boxes"):
      assert_close(found[name][i][ours], golden[f"found{i}/{name}"][theirs], 1e-4, name)
    masks = golden[f"found{i}/masks"][theirs][:, 0]
    assert_close(found["masks"][i][ours], masks, 1e-4, "masks")


def given_regions(golden, i):
  """Regions that were drawn when the arrays were made: the first six show objects."""
  boxes, objects = golden[f"region{i}/boxes"], golden[f"region{i}/objects"]
  count, shown = len(boxes), len(objects)
  positive = np.arange(count) < shown
  padded = np.pad(objects, (0, count - shown))
  labels = np.where(positive, golden[f"object{i}/labels"][padded] - 1, CLASSES)
  return Regions(boxes, labels, padded, positive, np.ones(count, bool), np.zeros(count, bool))


def given_anchors(golden, i, number):
  """Anchors that were drawn then, and the object of each."""
  positive, negative = golden[f"rpn/positive{i}"], golden[f"rpn/negative{i}"]
  matched = np.full(number, -2, np.int32)
  matched[positive], matched[negative] = golden[f"rpn/objects{i}"], -1
  indices = np.concatenate([positive, negative])
  taken = np.ones(len(indices), bool)
  return matched, Sample(indices, np.arange(len(indices)) < len(positive), taken)


def stacked(of_images):
  return jax.tree.map(lambda *values: jnp.stack(values), *of_images)


def test_what_is_learned_of_given_samples(golden, params, maps):
  """Five losses, and their gradients by maps and kernels."""
  objects = [golden[f"object{i}/boxes"] for i in range(2)]
  boxes = jnp.stack([jnp.asarray(np.pad(x, ((0, 3 - len(x)), (0, 0)))) for x in objects])
  regions = stacked([given_regions(golden, i) for i in range(2)])
  shown = len(golden["region0/objects"])
  targets = golden["mask_targets"].reshape(2, shown, 28, 28)

  def losses(params, maps):
    pyramid = pyramid_of(params, maps)
    logits, deltas = (
      jnp.concatenate(of, axis=1) for of in RPN.apply({"params": params["rpn"]}, pyramid)
    )
    anchors = np.concatenate(anchors_of(pyramid))
    matched, drawn = stacked([given_anchors(golden, i, len(anchors)) for i in range(2)])
    sums = jax.vmap(lambda *of: RPN_LOSS.sums(of[0], of[1], anchors, *of[2:]))(
      logits, deltas, boxes, matched, drawn
    )
    found = {name: over_batch(value, drawn.valid.sum(1)) for name, value in sums.items()}
    of_regions = look(BOX_HEAD, params["box_heads_0"], pyramid, regions.boxes, 7)
    sums = jax.vmap(STAGE.sums)(*of_regions, regions, boxes)
    found |= {name: over_batch(value, regions.valid.sum(1)) for name, value in sums.items()}
    masks = look(MASK_HEAD, params["mask_heads_0"], pyramid, regions.boxes[:, :shown], 14)
    first = (regions.labels[:, :shown], regions.positive[:, :shown], targets)
    found["mask"] = over_batch(jax.vmap(mask_sum)(masks, *first), regions.positive.sum(1))
    found = {name: value.mean() for name, value in found.items()}
    return sum(found.values()), found

  (_, found), (of_params, of_maps) = jax.jit(jax.value_and_grad(losses, (0, 1), has_aux=True))(
    params, maps
  )
  assert len(found) == 5
  for name, loss in found.items():
    np.testing.assert_allclose(loss, golden[f"loss/{name}"], rtol=1e-5, err_msg=name)
  for i, gradient in enumerate(of_maps):
    expected = golden[f"grad/map{i}"].transpose(0, 2, 3, 1)
    assert_close(gradient, expected, 1e-4, f"gradient of map {i}")
  gradients = {k.removeprefix("grad/param/"): v for k, v in golden.items()}
  for name, ours, kernel in (
    ("backbone.fpn.layer_blocks.0.0", of_params["neck"]["smooth_0"], None),
    ("rpn.head.conv.0.0", of_params["rpn"]["conv"], None),
    ("roi_heads.box_head.fc6", of_params["box_heads_0"]["fc_0"], region_kernel),
    ("roi_heads.mask_predictor.conv5_mask", of_params["mask_heads_0"]["enlarge"], enlarging_kernel),
  ):
    kernel = kernel or (lambda x: x.transpose(2, 3, 1, 0))
    assert_close(ours["kernel"], kernel(gradients[f"{name}.weight"]), 1e-4, f"gradient of {name}")
