"""Sampling within boxes is torchvision's, at every border, and so are its gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_data import assert_close
from golden_detection import ARRAYS, golden, random_boxes

from hornet_jax.dense.boxes import crop_masks, level_of, roi_align
from hornet_jax.errors import InputError


@pytest.mark.parametrize(("output", "sampling"), [(7, 2), (3, 2), (4, 3)])
def test_samples_and_gradients_are_torchvisions(output, sampling):
  case, boxes = golden(f"roi_align/{output}/{sampling}"), jnp.asarray(ARRAYS["roi_align/boxes"])

  @functools.partial(jax.value_and_grad, has_aux=True)
  def loss_of(x):
    y = roi_align([x], [4], boxes, output, sampling, chunk=10)  # 24 boxes: two chunks and a rest
    return (y**2).sum(), y

  (_, y), gradient = jax.jit(loss_of)(case["x"])
  assert_close(y, case["y"])
  assert_close(gradient, case["gradient"])
  assert (y[7:9] == 0).all()  # outside the map


def test_levels_are_torchvisions():
  case = golden("level")
  assert np.array_equal(level_of(case["boxes"], 4), case["level"])
  assert set(case["level"].tolist()) == {0, 1, 2, 3}
  sides = jnp.array([0, 1, 111.9, 112, 223.9, 224, 447.9, 448, 1e6])
  squares = jnp.stack([sides * 0, sides * 0, sides, sides], axis=1)
  assert level_of(squares, 4).tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3]


MAPS = [jax.random.normal(jax.random.key(i), (64 // 2**i, 96 // 2**i, 2)) for i in range(3)]
BOXES = jnp.concatenate([random_boxes(0, 5, largest=20), random_boxes(1, 8, 100, 300)])


def sampled(maps, boxes):
  return roi_align(maps, (4, 8, 16), boxes, 3)


SAMPLED = jax.jit(sampled)


def test_each_box_is_sampled_of_its_own_map():
  level = level_of(BOXES, 3)
  assert set(level.tolist()) == {0, 1, 2}
  together = SAMPLED(MAPS, BOXES)
  for own, features in enumerate(MAPS):
    alone = jax.jit(lambda x, b, s: roi_align([x], [s], b, 3), static_argnums=2)(
      features, BOXES, 4 * 2**own
    )
    np.testing.assert_allclose(together[level == own], alone[level == own], atol=1e-5)


def test_more_boxes_and_other_chunks_change_nothing():
  expected = SAMPLED(MAPS, BOXES)
  padded = jnp.concatenate([BOXES, jnp.zeros((4, 4))])
  more = jax.jit(lambda x: roi_align(MAPS, (4, 8, 16), x, 3, chunk=4))(padded)
  np.testing.assert_allclose(more[: len(BOXES)], expected, atol=1e-5)
  assert np.isfinite(more).all()


def test_a_batch_is_sampled_image_by_image():
  maps = [jnp.stack([m, -2 * m]) for m in MAPS]
  boxes = jnp.stack([BOXES, BOXES[::-1]])
  both, single = jax.jit(jax.vmap(sampled))(maps, boxes), SAMPLED(MAPS, BOXES)
  np.testing.assert_allclose(both[0], single, atol=1e-5)
  np.testing.assert_allclose(both[1], -2 * single[::-1], atol=1e-5)


def test_boxes_get_no_gradient():
  gradient = jax.jit(jax.grad(lambda b: roi_align(MAPS[:1], [4], b, 2).sum()))(BOXES)
  assert not gradient.any()


def test_bfloat16_maps_are_sampled_as_such():
  maps = [jnp.asarray(m, jnp.bfloat16) for m in MAPS]
  found = SAMPLED(maps, BOXES)
  assert found.dtype == jnp.bfloat16
  assert_close(found.astype("f4"), SAMPLED(MAPS, BOXES), 2e-2)


CROP = jax.jit(crop_masks, static_argnums=(3, 4))


def test_cropped_masks_are_those_of_whole_bitmaps():
  case = golden("crop")
  found = CROP(case["masks"], case["boxes"], case["rois"], 7)
  np.testing.assert_allclose(found, case["crops"], atol=1e-5)


def test_a_full_mask_ends_with_its_box():
  """At 1/2, where targets are told apart, whatever the size of the bitmap."""
  full = jnp.ones((1, 8, 8))
  box, around = jnp.array([[30.0, 40, 70, 100]]), jnp.array([[10.0, 20, 90, 120]])
  [found] = CROP(full, box, around, 40, 1) >= 0.5
  x, y = 10 + 2 * (np.arange(40) + 0.5), 20 + 2.5 * (np.arange(40) + 0.5)
  inside = ((y > 40) & (y < 100))[:, None] & ((x > 30) & (x < 70))[None]
  corner = (np.abs(y - 70)[:, None] > 25) & (np.abs(x - 50)[None] > 15)  # these are rounded
  assert np.array_equal(found | corner, inside | corner)
  assert not CROP(full * 0, jnp.zeros((1, 4)), around, 40, 1).any()  # padding


@pytest.mark.parametrize(
  "call",
  [
    lambda: roi_align(MAPS, (4, 8), BOXES, 3),
    lambda: roi_align(MAPS, (4, 8, 16), BOXES, 0),
    lambda: roi_align([], [], BOXES, 3),
  ],
)
def test_impossible_settings_are_refused(call):
  with pytest.raises(InputError, match="must"):
    call()
