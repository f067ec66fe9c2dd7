"""Geometry of boxes is that of torchvision, and of loops over pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_data import assert_close
from golden_detection import ARRAYS, golden, overlap_of, random_boxes

from hornet_jax.dense.boxes import (
  BoxCoder,
  area,
  clip_boxes,
  generalized_overlap,
  giou_loss,
  grid_anchors,
  overlaps,
  sigmoid_cross_entropy,
  smooth_l1,
  softmax_cross_entropy,
)
from hornet_jax.errors import InputError

OVERLAPS = jax.jit(overlaps)


def test_overlaps_are_those_of_a_loop_and_of_torchvision():
  a, b = random_boxes(0, 12), random_boxes(1, 9)
  b = b.at[:3].set(a[:3])
  found = OVERLAPS(a, b)
  np.testing.assert_allclose(
    found, [[overlap_of(x, y) for y in b.tolist()] for x in a.tolist()], atol=1e-6
  )
  np.testing.assert_allclose(np.diag(found)[:3], 1)
  np.testing.assert_allclose(overlaps(a, b), found, atol=1e-6)
  pairs = golden("giou")
  iou = OVERLAPS(pairs["predicted"], pairs["target"])
  np.testing.assert_allclose(iou, ARRAYS["overlaps/iou"], atol=1e-6)


def test_what_has_no_area_overlaps_nothing():
  boxes = jnp.array([[3, 3, 3, 9], [3, 3, 3, 9], [0, 0, 0, 0], [5, 5, 4, 4], [0, 0, 9, 9]], "f4")
  assert area(boxes).tolist() == [0, 0, 0, 0, 81]
  with jax.debug_nans(True):  # not even on the way
    assert np.array_equal(overlaps(boxes, boxes), np.diag([0, 0, 0, 0, 1]))


def test_boxes_are_clipped_to_height_and_width():
  boxes = jnp.array([[-5, -6, 50, 60], [1, 2, 3, 4], [90, 90, 95, 95]], "f4")
  clipped = clip_boxes(boxes, jnp.array([10, 20]))
  assert clipped.tolist() == [[0, 0, 20, 10], [1, 2, 3, 4], [20, 10, 20, 10]]


def value_and_gradient(loss, predicted, *rest):
  """Losses of samples, and the gradients of their sum."""

  def summed(x):
    value = loss(x, *rest)
    return value.sum(), value

  (_, value), gradient = jax.jit(jax.value_and_grad(summed, has_aux=True))(predicted)
  return value, gradient


def test_giou_loss_is_torchvisions():
  case = golden("giou")
  loss, gradient = value_and_gradient(giou_loss, case["predicted"], case["target"])
  np.testing.assert_allclose(loss, case["loss"], atol=1e-6)
  np.testing.assert_allclose(gradient, case["gradient"], atol=1e-6)


def test_giou_is_finite_without_area():
  boxes = jnp.array([[0, 0, 0, 0], [2, 2, 2, 2], [5, 1, 4, 0], [2, 2, 2, 8], [0, 0, 4, 4]], "f4")
  a, b = jnp.repeat(boxes, 5, axis=0), jnp.tile(boxes, (5, 1))
  value, gradient = value_and_gradient(generalized_overlap, a, b)
  assert np.isfinite(value).all()
  assert np.isfinite(gradient).all()
  assert (np.abs(value) <= 1).all()


@pytest.mark.parametrize("beta", [0.0, 1 / 9, 1.0])
def test_smooth_l1_is_torchs(beta):
  case, of_beta = golden("smooth_l1"), golden(f"smooth_l1/{round(beta, 3)}")
  loss, gradient = value_and_gradient(
    lambda x: smooth_l1(x, case["target"], beta), case["predicted"]
  )
  np.testing.assert_allclose(loss, of_beta["loss"], rtol=1e-6)
  np.testing.assert_allclose(gradient, of_beta["gradient"], atol=1e-6)


def test_cross_entropies_are_torchs():
  for loss_of, name, answer in [
    (sigmoid_cross_entropy, "sigmoid", "yes"),
    (softmax_cross_entropy, "softmax", "label"),
  ]:
    case = golden(name)
    loss, gradient = value_and_gradient(loss_of, case["logits"], case[answer])
    np.testing.assert_allclose(loss, case["loss"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, case["gradient"], atol=1e-6)


def test_logits_of_any_size_and_labels_of_padding_have_finite_losses():
  logits = jnp.array([-1e30, -1e4, 0.0, 1e4, 1e30])
  for positive in (True, False):
    loss, gradient = value_and_gradient(
      sigmoid_cross_entropy, logits, jnp.full(len(logits), positive)
    )
    assert np.isfinite(loss).all()
    assert np.isfinite(gradient).all()
  assert np.isfinite(softmax_cross_entropy(jnp.ones((2, 3)), jnp.array([-1, 2]))).all()


CODER = BoxCoder((0.1, 0.1, 0.2, 0.2))


def test_codes_are_torchvisions():
  case = golden("coder")
  codes = CODER.encode(case["boxes"], case["references"])
  np.testing.assert_allclose(codes, case["codes"], rtol=1e-6, atol=1e-6 * np.abs(codes).max())
  assert_close(CODER.decode(case["deltas"], case["references"]), case["decoded"], 1e-6)


def test_what_is_coded_is_decoded_for_each_class_and_clipped():
  boxes, references = random_boxes(2, 6), random_boxes(3, 6)
  codes = CODER.encode(boxes, references)
  np.testing.assert_allclose(CODER.decode(codes, references), boxes, atol=1e-4)
  of_classes = jnp.stack([codes, codes * 0], axis=1)  # [N, 2, 4]
  size = jnp.array([30, 40])
  found = CODER.decode(of_classes, references[:, None], size)
  np.testing.assert_allclose(found[:, 0], clip_boxes(boxes, size), atol=1e-4)
  np.testing.assert_allclose(found[:, 1], clip_boxes(references, size), atol=1e-4)


def test_scales_are_bounded_both_ways():
  deltas = jnp.array([[0, 0, 1e9, -1e9]], "f4")
  [[x0, y0, x1, y1]] = BoxCoder().decode(deltas, jnp.array([[0, 0, 2, 2]], "f4"))
  np.testing.assert_allclose([x1 - x0, y1 - y0], [2 / 0.016, 2 * 0.016], rtol=1e-5)


def test_codes_of_padding_are_finite():
  zeros, boxes = jnp.zeros((1, 4)), random_boxes(4, 1)
  assert all(np.isfinite(CODER.encode(*pair)).all() for pair in [(zeros, boxes), (boxes, zeros)])


@pytest.mark.parametrize(("grid", "stride"), [((3, 4), 8), ((2, 1), 32)])
def test_anchors_rounded_are_torchvisions(grid, stride):
  anchors = grid_anchors(grid, stride)
  reference = ARRAYS[f"anchors/{grid[0]}x{grid[1]}/{stride}"]
  assert np.array_equal(np.round(anchors), reference)
  assert anchors.dtype == np.float32


def test_anchors_have_one_area_and_the_ratios_of_height_to_width():
  anchors = grid_anchors((2, 3), 4, scale=8.0, ratios=(0.5, 1.0, 2.0))
  sides = anchors[:, 2:] - anchors[:, :2]
  np.testing.assert_allclose(sides.prod(1), 32**2, rtol=1e-5)
  np.testing.assert_allclose((sides[:, 1] / sides[:, 0]).reshape(-1, 3)[4], [0.5, 1, 2], rtol=1e-5)
  centres = (anchors[:, :2] + anchors[:, 2:]).reshape(2, 3, 3, 2) / 2
  np.testing.assert_allclose(centres[1, 2], np.broadcast_to([8, 4], (3, 2)), atol=1e-5)


@pytest.mark.parametrize(
  "call",
  [
    lambda: BoxCoder((0.1, 0.1, 0.2, 0.0)),
    lambda: BoxCoder(max_ratio=2.0),
    lambda: grid_anchors((0, 3), 4),
    lambda: grid_anchors((2, 3), 4, ratios=()),
    lambda: smooth_l1(jnp.zeros((1, 4)), jnp.zeros((1, 4)), beta=-1.0),
  ],
)
def test_impossible_settings_are_refused(call):
  with pytest.raises(InputError, match=r"must|need"):
    call()
