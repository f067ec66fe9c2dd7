"""Detectors: what makes no difference to what they find and learn, and how stages follow."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from jax.sharding import NamedSharding, PartitionSpec

from hornet_jax import create_model
from hornet_jax.cost.xla.collectives import read_collectives
from hornet_jax.dense import ConvBoxHead, Fpn, attach_detector
from hornet_jax.dense.backbone_levels import backbone_levels
from hornet_jax.dense.batch_mean import over_batch
from hornet_jax.dense.boxes import Assigner, BoxCoder, grid_anchors, largest
from hornet_jax.dense.detections import Detect
from hornet_jax.dense.image_context import read_size
from hornet_jax.dense.mask_loss import mask_targets
from hornet_jax.dense.proposals import Proposals, Proposer, covered, inside
from hornet_jax.dense.regions import Objects, Regions
from hornet_jax.dense.rpn_loss import RpnLoss
from hornet_jax.dense.stage import Stage
from hornet_jax.errors import InputError
from hornet_jax.models import attach_head
from hornet_jax.parallel.mesh import make_mesh

CLASSES = 3
SMALL = {
  "channels": 4,
  "hidden": 8,
  "train_proposals": 16,
  "proposals": 12,
  "compared": 16,
  "anchor_samples": 16,
  "samples": 64,  # more than there are regions: all are drawn
  "detections": 8,
}


def backbone():
  return create_model("hornet_tiny_7x7", num_classes=0)


@functools.cache
def detector(kind):
  """Of two levels, and two stages at most, which are compiled sooner than all."""
  head = attach_detector(backbone(), CLASSES, kind=kind, **SMALL).head
  names = ("levels", "strides", "stages", "box_heads", "mask_heads")
  return head.clone(neck=Fpn(4, 3), **{name: getattr(head, name)[:2] for name in names})


def maps_of(batch, seed=0):
  keys = jax.random.split(jax.random.key(seed), 2)
  return {
    f"stage_{i}": jax.random.normal(key, (batch, 16 >> i, 16 >> i, 3 + i))
    for i, key in enumerate(keys)
  }


def context_of(batch):
  """Images that fill the 64 x 64 canvas in part, with two objects each."""
  boxes = jnp.array([[4.0, 6, 30, 34], [20, 10, 52, 48]])
  masks = jnp.tile(jnp.tril(jnp.ones((8, 8), jnp.uint8)), (batch, 2, 1, 1))
  return {
    "size": jnp.tile(jnp.array([[60, 56]]), (batch, 1)),
    "boxes": jnp.tile(boxes, (batch, 1, 1)),
    "labels": jnp.tile(jnp.array([[0, 2]]), (batch, 1)),
    "masks": masks,
  }


@functools.cache
def variables_of(kind):
  """Kernels at random, norms as they start; not by `init`, which would have to be compiled."""
  rng = np.random.default_rng(1)
  shapes = jax.eval_shape(lambda maps: detector(kind).init(jax.random.key(1), maps), maps_of(1))

  def made(path, leaf):
    name = path[-1].key
    if name != "kernel":
      return jnp.full(leaf.shape, float(name in ("scale", "var")), leaf.dtype)
    fan_in = max(leaf.size // leaf.shape[-1], 1)
    return jnp.asarray(rng.normal(0, fan_in**-0.5, leaf.shape), leaf.dtype)

  return jax.tree_util.tree_map_with_path(made, shapes)


def losses_of(kind, params, statistics, maps, keys, context):
  found, state = detector(kind).apply(
    {"params": params, **statistics}, maps, True, keys, context, mutable=list(statistics)
  )
  losses = found["losses"]
  return jnp.mean(sum(losses.values())), (losses, state)


@functools.cache
def training(kind):
  """Gives a mean loss, the losses of each image, new statistics, and gradients."""
  return jax.jit(jax.value_and_grad(functools.partial(losses_of, kind), has_aux=True))


@functools.cache
def forward(kind):
  return jax.jit(functools.partial(losses_of, kind))


def split(kind):
  variables = dict(variables_of(kind))
  return variables.pop("params"), variables


KEYS = jax.random.split(jax.random.key(2), 2)


def test_padding_changes_no_loss():
  """More room for objects is not seen."""
  maps, context = maps_of(1), context_of(1)
  _, (losses, _) = forward("mask_rcnn")(*split("mask_rcnn"), maps, KEYS[:1], context)
  assert set(losses) == {"rpn_class", "rpn_box", "stage_0_class", "stage_0_box", "stage_0_mask"}
  assert all(loss[0] > 0 for loss in losses.values())
  padded = {
    "size": context["size"],
    "boxes": jnp.pad(context["boxes"], ((0, 0), (0, 3), (0, 0))),
    "labels": jnp.pad(context["labels"], ((0, 0), (0, 3)), constant_values=-1),
    "masks": jnp.pad(context["masks"], ((0, 0), (0, 3), (0, 0), (0, 0))),
  }
  _, (same, _) = forward("mask_rcnn")(*split("mask_rcnn"), maps, KEYS[:1], padded)
  for name, loss in losses.items():
    np.testing.assert_allclose(same[name], loss, rtol=1e-5, err_msg=name)


def test_the_batch_is_normalised_as_a_whole():
  """Beside an image without objects, an image keeps the sums of its losses."""
  maps, context = maps_of(2), context_of(2)
  context["labels"] = context["labels"].at[1].set(-1)
  first = jax.tree.map(lambda x: x[:1], (maps, context))
  _, (alone, _) = forward("mask_rcnn")(*split("mask_rcnn"), first[0], KEYS[:1], first[1])
  _, (both, _) = forward("mask_rcnn")(*split("mask_rcnn"), maps, KEYS, context)
  # 16 anchors are drawn of either image; the objects are those of the first.
  for name, factor in (("rpn_class", 1), ("rpn_box", 1), ("stage_0_mask", 2)):
    np.testing.assert_allclose(both[name][0], factor * alone[name][0], rtol=1e-5, err_msg=name)
  for name in ("rpn_box", "stage_0_box", "stage_0_mask"):
    assert both[name][1] == 0
  assert both["rpn_class"][1] > 0
  assert both["stage_0_class"][1] > 0
  np.testing.assert_allclose(over_batch(jnp.ones(2), jnp.array([3, 1])), [0.5, 0.5])
  np.testing.assert_allclose(over_batch(jnp.zeros(2), jnp.zeros(2, jnp.int32)), [0, 0])


@pytest.mark.slow
def test_a_cascade_learns_with_and_without_objects():
  """Losses, gradients and statistics are finite, and all stages learn classes."""
  maps, context = maps_of(2), context_of(2)
  nothing = context | {"labels": jnp.full((2, 2), -1)}
  for given, some in ((nothing, False), (context, True)):
    (_, (losses, state)), gradients = training("cascade")(*split("cascade"), maps, KEYS, given)
    assert len(losses) == 2 + 2 * 3
    for name, loss in losses.items():
      assert (loss > 0).all() if some or name.endswith("class") else (loss == 0).all(), name
    assert jax.tree.all(jax.tree.map(lambda x: bool(jnp.isfinite(x).all()), (gradients, state)))
    flat = traverse_util.flatten_dict(gradients, sep="/")
    for i in range(2):
      assert jnp.any(flat[f"box_heads_{i}/conv_0/conv/kernel"])
      assert bool(jnp.any(flat[f"mask_heads_{i}/conv_0/kernel"])) == some
  stages = attach_detector(backbone(), CLASSES).head.stages
  assert [(stage.weight, stage.box_weight) for stage in stages] == [(1, 10), (0.5, 10), (0.25, 10)]


@functools.cache
def finding():
  return jax.jit(
    lambda variables, maps, size: detector("cascade").apply(variables, maps, context={"size": size})
  )


SIZES = jnp.array([[64, 64], [50, 40]])


def test_an_image_is_found_alike_beside_any_other():
  """And within its own size; without one told it is that of the canvas."""
  find = functools.partial(finding(), variables_of("cascade"))
  found = find(maps_of(2), SIZES)
  assert found["boxes"].shape == (2, 8, 4)
  assert found["masks"].shape == (2, 8, 28, 28)
  assert found["labels"].dtype == jnp.int32
  assert (found["labels"][:, 0] >= 0).all()
  assert ((found["masks"] > 0) & (found["masks"] < 1)).all()
  assert (found["boxes"][1] <= jnp.array([[40, 50, 40, 50]])).all()
  assert (found["scores"][:, :-1] >= found["scores"][:, 1:]).all()
  maps = {name: x.at[1].multiply(3) for name, x in maps_of(2).items()}
  beside = find(maps, SIZES.at[1].set(30))
  assert not jnp.array_equal(beside["boxes"][1], found["boxes"][1])
  for name, value in found.items():
    np.testing.assert_allclose(value[0], beside[name][0], rtol=1e-5, atol=1e-6, err_msg=name)
  assert read_size(None, jnp.zeros((2, 5, 7, 1)), 4).tolist() == [[20, 28]] * 2


def test_what_stages_say_is_averaged():
  """Of classes the logits, of masks the probabilities; layers here give their biases alone."""
  variables = jax.tree.map(jnp.copy, variables_of("cascade"))
  of_classes, of_masks = [[3.0, 0, 1, 0], [-1.0, 2, 0, 1]], [[1.0, 0, 0], [-3.0, 0, 0]]
  for i in range(2):
    for layer, bias in (
      (variables["params"][f"box_heads_{i}"]["predict"]["logits"], of_classes[i]),
      (variables["params"][f"mask_heads_{i}"]["logits"], of_masks[i]),
    ):
      layer |= {"kernel": jnp.zeros_like(layer["kernel"]), "bias": jnp.array(bias)}
  found = finding()(variables, maps_of(2), SIZES)
  exponents = np.exp(np.mean(of_classes, axis=0))
  probabilities = np.mean(1 / (1 + np.exp(-np.array(of_masks))), axis=0)
  for label in range(CLASSES):
    taken = found["labels"] == label
    expected = exponents[label] / exponents.sum()
    np.testing.assert_allclose(found["scores"][taken], expected, rtol=1e-5)
    np.testing.assert_allclose(found["masks"][taken], probabilities[label], rtol=1e-5)
  assert (found["labels"] == 0).any()


@pytest.mark.slow
def test_compiled_equals_not_compiled():
  args = (*split("mask_rcnn"), maps_of(1), KEYS[:1], context_of(1))
  _, (eager, _) = losses_of("mask_rcnn", *args)
  _, (compiled, _) = forward("mask_rcnn")(*args)
  for name, loss in eager.items():
    np.testing.assert_allclose(compiled[name], loss, rtol=1e-5, err_msg=name)


@pytest.mark.slow
def test_eight_devices_learn_what_one_does():
  """A cascade's losses, gradients and statistics; between devices go sums alone."""
  maps, context, keys = maps_of(8), context_of(8), jax.random.split(jax.random.key(3), 8)
  context["labels"] = context["labels"].at[5].set(-1)  # so that devices differ in their samples
  arguments = (*split("cascade"), maps, keys, context)
  one = training("cascade")(*arguments)
  mesh = make_mesh()
  rows, whole = (NamedSharding(mesh, PartitionSpec(*spec)) for spec in ((mesh.axis_names,), ()))
  with jax.set_mesh(mesh):
    placed = jax.device_put(arguments, (whole, whole, rows, rows, rows))
    compiled = training("cascade").lower(*placed).compile()
    eight = compiled(*placed)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-5), one, eight)
  kinds = {c.kind for c in read_collectives(compiled.as_text(), 8)}
  assert kinds == {"all-reduce"}


def test_statistics_are_those_of_real_regions():
  """Of what stands in empty slots nothing is learned; without any region all is finite."""
  head = ConvBoxHead(CLASSES, 4, 8, num_convs=2)
  x = jax.random.normal(jax.random.key(0), (6, 7, 7, 4))
  valid = jnp.arange(6) < 4
  variables = head.init(jax.random.key(1), x)
  apply = jax.jit(lambda x, valid: head.apply(variables, x, True, valid, mutable=["batch_stats"]))
  (logits, deltas), state = apply(x, valid)
  other = jnp.where(valid[:, None, None, None], x, 1e3)
  (same_logits, same_deltas), same_state = apply(other, valid)
  np.testing.assert_allclose(logits[:4], same_logits[:4], rtol=1e-5)
  np.testing.assert_allclose(deltas[:4], same_deltas[:4], rtol=1e-5, atol=1e-8)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), state, same_state)
  _, of_all = apply(x, jnp.ones(6, bool))
  assert not np.allclose(
    *(s["batch_stats"]["conv_0"]["bn"]["mean"] for s in (state, of_all)), rtol=1e-3
  )
  found, state = apply(x, jnp.zeros(6, bool))
  assert jax.tree.all(jax.tree.map(lambda x: bool(jnp.isfinite(x).all()), (found, state)))


# One object of 40 x 40 pixels; proposals that overlap it by 0.8, 0.55, 0.25 and 0, and padding.
OBJECTS = Objects(
  jnp.array([[10.0, 10, 50, 50], [0, 0, 0, 0]]),
  jnp.array([1, -1]),
  jnp.ones((2, 4, 4), jnp.uint8),
)
PROPOSALS = Proposals(
  jnp.array(
    [[10.0, 10, 42, 50], [10, 10, 32, 50], [10, 10, 20, 50], [60, 60, 70, 70], [0, 0, 0, 0]]
  ),
  jnp.array([True, True, True, True, False]),
)


def draw(stage, proposals, seed=0):
  regions = stage.draw(jax.random.key(seed), proposals, OBJECTS, CLASSES)
  rows = zip(*(np.asarray(x).tolist() for x in regions), strict=True)
  return regions, {tuple(box): row for box, *row in rows if row[3]}


def test_stages_draw_what_overlaps_more_and_more():
  """0.55 is an object for 0.5 and background for 0.6; the object itself is one for any stage."""
  boxes = [tuple(box) for box in PROPOSALS.boxes.tolist()]
  shown = {}
  for threshold in (0.5, 0.6, 0.9):
    stage = Stage(Assigner(threshold, threshold), BoxCoder(), count=16, positive_share=0.5)
    _, rows = draw(stage, PROPOSALS)
    assert set(rows) == {(10.0, 10.0, 50.0, 50.0), *boxes[:4]}  # neither kind of padding
    shown[threshold] = {box for box, (label, *_, positive, _, _) in rows.items() if positive}
    for label, number, positive, _, given in rows.values():
      assert (label, number) == ((1, 0) if positive else (CLASSES, 0))
      assert given <= positive
  own = (10.0, 10.0, 50.0, 50.0)
  assert shown == {0.5: {own, *boxes[:2]}, 0.6: {own, boxes[0]}, 0.9: {own}}


def test_a_stage_moves_regions_for_the_next():
  """Those of an object by the code of its class, background by that of the likeliest class."""
  stage = Stage(Assigner(0.5, 0.5), BoxCoder((0.1, 0.1, 0.2, 0.2)), count=16, positive_share=0.5)
  regions, _ = draw(stage, PROPOSALS)
  count = len(regions.boxes)
  perfect = stage.coder.encode(
    jnp.broadcast_to(OBJECTS.boxes[0], (count, 4)),
    jnp.where(regions.valid[:, None], regions.boxes, 1),
  )
  aside = jnp.zeros((count, 4)).at[:, 0].set(10.0)  # one width to the right
  deltas = jnp.stack([aside, perfect, jnp.zeros((count, 4))], axis=1)
  logits = jnp.zeros((count, 4)).at[:, 0].set(1.0).at[:, 3].set(9.0)
  moved = stage.refine(regions.boxes, logits, deltas, jnp.array([64, 100]), regions.labels)
  kept = regions.kept(moved)
  assert int(kept.valid.sum()) == 4  # the object itself was given, and is not handed on
  rows = {tuple(np.round(b, 3)) for b, v in zip(moved.tolist(), kept.valid, strict=True) if v}
  assert rows == {(10, 10, 50, 50), (20, 10, 30, 50), (70, 60, 80, 64)}
  strict = Stage(Assigner(0.7, 0.7), BoxCoder(), count=16, positive_share=0.5)
  _, after = draw(strict, kept)
  assert sum(row[2] for row in after.values()) == 1  # three equal boxes, by their corners
  before, _ = draw(strict, PROPOSALS)
  again, _ = draw(strict, kept)
  assert (int(before.positive.sum()), int(again.positive.sum())) == (2, 3)
  # Where nothing is known, all go by the likeliest class.
  free = stage.refine(regions.boxes, logits, deltas, jnp.array([64, 100]))
  np.testing.assert_allclose(
    free[0, 0] - regions.boxes[0, 0], regions.boxes[0, 2] - regions.boxes[0, 0]
  )


def test_losses_of_a_stage_by_hand():
  """Cross-entropy of all regions; 1 - GIoU, or a distance of codes, of those that show objects."""
  boxes = jnp.array([[10.0, 10, 50, 50]])
  region = jnp.array([[10.0, 10, 50, 30], [0, 0, 8, 8], [0, 0, 0, 0]])
  regions = Regions(
    region,
    jnp.array([1, 3, 3]),
    jnp.zeros(3, jnp.int32),
    jnp.array([True, False, False]),
    jnp.array([True, True, False]),
    jnp.zeros(3, bool),
  )
  logits, deltas = jnp.zeros((3, 4)), jnp.zeros((3, 3, 4))
  giou = Stage(Assigner(0.5, 0.5), BoxCoder())
  found = giou.sums(logits, deltas, regions, boxes)
  np.testing.assert_allclose(found["class"], 2 * np.log(4), rtol=1e-6)
  np.testing.assert_allclose(found["box"], 0.5, rtol=1e-6)
  coder = BoxCoder((0.1, 0.1, 0.2, 0.2))
  l1 = Stage(Assigner(0.5, 0.5), coder, box_loss="smooth_l1")
  found = l1.sums(logits, deltas, regions, boxes)
  np.testing.assert_allclose(found["box"], 0.5 / 0.1 + np.log(2) / 0.2, rtol=1e-6)
  objects = Objects(boxes, jnp.array([1]), jnp.tri(4)[None])  # the lower left half of the object
  points = mask_targets(regions, objects, 1, 8)[0]  # of its upper half
  assert points[3, 0]
  assert not points[0, 7]


def test_where_the_image_ends_the_canvas_makes_no_difference():
  """Anchors beyond it are not proposed, and boxes end where it does."""
  proposer = Proposer(20, 10, 0.7)
  logits, deltas = jax.random.normal(jax.random.key(0), (8, 8, 3)), jnp.zeros((8, 8, 3, 4))
  deltas += 0.1 * jax.random.normal(jax.random.key(1), deltas.shape)
  size = jnp.array([40, 30])  # filled up: 64 x 32 of strides of 8: 8 x 4 positions

  def propose(width, fill):
    def wide(x):
      return jnp.full((8, width, *x.shape[2:]), fill).at[:, :4].set(x[:, :4])

    anchors = grid_anchors((8, width), 8, 2.0)
    propose = jax.jit(lambda logits, deltas: proposer.propose([logits], [deltas], [anchors], size))
    return propose(wide(logits).reshape(-1), wide(deltas).reshape(-1, 4))

  small, large = propose(4, 0.0), propose(8, 50.0)
  np.testing.assert_allclose(small.boxes, large.boxes)
  assert small.valid.all()
  assert large.valid.all()
  assert (small.boxes[:, 2:] <= jnp.array([[30, 40]])).all()


def test_anchors_that_are_drawn():
  """mmdet: those of the image filled up to 32 pixels; for the cascade those within the image."""
  anchors = grid_anchors((3, 4), 16, 1.0)
  size = jnp.array([26, 33])
  assert covered(anchors, size).reshape(3, 4, 3).all(-1).tolist() == [
    [True] * 4,
    [True] * 4,
    [False] * 4,
  ]
  whole = inside(anchors, size).reshape(3, 4, 3)[:, :, 1]  # the square ones: 16 pixels
  assert whole.tolist() == [[False] * 4, [False, True, False, False], [False] * 4]
  box, real = jnp.array([[8.0, 8, 24, 20]]), jnp.array([True])
  for is_whole, allowed in ((True, inside(anchors, size)), (False, covered(anchors, size))):
    rule = RpnLoss(whole=is_whole, count=64)
    matched, drawn = rule.draw(jax.random.key(0), anchors, size, box, real)
    assert (matched[~np.asarray(allowed)] == -2).all()
    assert drawn.valid.sum() == (matched >= -1).sum() <= allowed.sum()


def test_the_largest_of_equals_is_the_first():
  values = jnp.array([0.5, -jnp.inf, 2, 0.5, 2, -1])
  for found, expected in zip(largest(values, 4), jax.lax.top_k(values, 4), strict=True):
    np.testing.assert_array_equal(found, expected)
  with pytest.raises(InputError, match="at most 6, as many as there are: got 7"):
    largest(values, 7)


def test_detections_by_hand():
  """Best first, each class by itself; what is no surer than the least score is not reported."""
  detect = Detect(0.05, 0.5, candidates=8, count=4)
  boxes = jnp.array([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
  scores = jnp.array([[0.5, 0.3], [0.6, 0.05], [0.04, 0.9]])
  for valid, labels, expected in (
    ([True] * 3, [1, 0, 1, -1], [0.9, 0.6, 0.3, 0]),
    ([True, True, False], [0, 1, -1, -1], [0.6, 0.3, 0, 0]),
  ):
    found = detect.choose(scores, jnp.tile(boxes[:, None], (1, 2, 1)), jnp.array(valid))
    assert found.labels.tolist() == labels
    np.testing.assert_allclose(found.scores, expected, rtol=1e-6)
    assert not found.boxes[found.labels < 0].any()


def test_layers_of_classes_are_head():
  head = detector("cascade")
  names = traverse_util.flatten_dict(variables_of("cascade")["params"], sep="/")
  of_classes = {name for name in names if head.param_info(name).head}
  assert of_classes == {
    f"{part}/{leaf}"
    for i in range(2)
    for part in (
      f"box_heads_{i}/predict/logits",
      f"box_heads_{i}/predict/deltas",
      f"mask_heads_{i}/logits",
    )
    for leaf in ("kernel", "bias")
  }
  assert all(head.param_info(name).neck for name in set(names) - of_classes)


def test_what_a_detector_asks_for():
  head, variables = detector("mask_rcnn"), variables_of("mask_rcnn")
  with pytest.raises(InputError, match="`keys` must be given to train a detector"):
    jax.eval_shape(lambda: head.apply(variables, maps_of(1), True, None, context_of(1)))
  size = {"size": jnp.array([[64, 64]])}
  with pytest.raises(InputError, match="missing boxes, labels, masks"):
    jax.eval_shape(lambda: head.apply(variables, maps_of(1), True, KEYS[:1], size))
  with pytest.raises(InputError, match="must tell the objects to train a detector"):
    jax.eval_shape(lambda: head.apply(variables, maps_of(1), True, KEYS[:1]))
  with pytest.raises(InputError, match="must tell the `size` of each image: got boxes"):
    jax.eval_shape(lambda: head.apply(variables, maps_of(1), context={"boxes": jnp.zeros(1)}))
  with pytest.raises(InputError, match="unknown kind 'cascades'"):
    attach_detector(backbone(), 3, kind="cascades")
  with pytest.raises(InputError, match="unknown neck '5x5'"):
    attach_detector(backbone(), 3, neck="5x5")
  with pytest.raises(InputError, match="backbone of several levels"):
    attach_detector(create_model("hornet_iso_small_7x7", num_classes=0), 3)
  with pytest.raises(InputError, match="leave out features_only=True"):
    backbone_levels(create_model("hornet_tiny_7x7", features_only=True), "detection")
  with pytest.raises(InputError, match="`box_loss` must be one of giou, smooth_l1: got 'l2'"):
    Stage(Assigner(0.5, 0.5), BoxCoder(), box_loss="l2")


def test_a_model_passes_on_what_it_is_told():
  """Heads that take no context are not given one."""

  class Told(ConvBoxHead):
    def __call__(self, out, train=False, keys=None, **told):
      return told

  model = attach_head(backbone(), Told(3))
  images, context = jnp.zeros((1, 32, 32, 3)), {"size": jnp.array([[32, 32]])}
  for given in (None, context):
    told = jax.eval_shape(
      lambda given=given: model.init_with_output(jax.random.key(0), images, context=given)
    )[0][0]
    assert set(told) == ({"context"} if given else set())
