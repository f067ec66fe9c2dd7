"""Suppression is that of the greedy loop, and of torchvision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_detection import golden, overlap_of, random_boxes

from hornet_jax.dense.boxes import best, suppress
from hornet_jax.errors import InputError

SUPPRESS = jax.jit(suppress, static_argnums=3)
BEST = jax.jit(best, static_argnums=(4, 5))


def remaining_by_a_loop(boxes, scores, groups, threshold):
  """Indices that remain, from the best to the worst."""
  boxes, remaining = boxes.tolist(), []
  for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
    if all(
      groups[i] != groups[j] or overlap_of(boxes[i], boxes[j]) <= threshold for j in remaining
    ):
      remaining.append(i)
  return remaining


def in_order(keep, scores):
  scores = scores.tolist()
  return sorted(np.flatnonzero(keep).tolist(), key=lambda i: (-scores[i], i))


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_what_remains_is_torchvisions(threshold):
  case = golden("nms")
  boxes, ones = case["boxes"], jnp.ones(200, bool)
  for name, scores in [("one", case["scores"]), ("ties", case["tied"])]:
    expected = case[f"{threshold}/{name}"].tolist()
    assert 10 < len(expected) < 200
    assert in_order(SUPPRESS(boxes, scores, ones, threshold), scores) == expected
  expected = case[f"{threshold}/many"].tolist()
  indices, taken = BEST(boxes, case["scores"], case["groups"], ones, threshold, 200)
  assert indices[taken].tolist() == expected
  assert indices[~taken].tolist() == [0] * (200 - len(expected))
  assert not (taken[1:] & ~taken[:-1]).any()
  first, taken = BEST(boxes, case["scores"], case["groups"], ones, threshold, 5)
  assert first.tolist() == expected[:5]
  assert taken.all()


def test_it_is_the_same_without_jit():
  boxes = random_boxes(0, 20, extent=20)
  arguments = boxes, boxes[:, 0], jnp.ones(20, bool), 0.3
  assert np.array_equal(suppress(*arguments), SUPPRESS(*arguments))


@pytest.mark.parametrize("seed", range(4))
def test_what_remains_is_that_of_a_loop(seed):
  random = np.random.default_rng(seed)
  boxes = random_boxes(seed, 60, extent=40)
  scores = jnp.asarray(random.integers(0, 12, 60), jnp.float32)  # many ties
  ones, groups = jnp.ones(60, bool), jnp.asarray(random.integers(0, 3, 60))
  threshold = 0.2
  expected = remaining_by_a_loop(boxes, scores, groups * 0, threshold)
  keep = np.asarray(SUPPRESS(boxes, scores, ones, threshold))
  assert in_order(keep, scores) == expected
  indices, taken = BEST(boxes, scores, groups, ones, threshold, 60)
  assert indices[taken].tolist() == remaining_by_a_loop(boxes, scores, groups, threshold)


def test_order_and_padding_change_nothing():
  boxes, ones = random_boxes(5, 60, extent=40), jnp.ones(60, bool)
  scores = np.random.default_rng(5).permutation(60).astype("f4")
  keep = np.asarray(SUPPRESS(boxes, scores, ones, 0.3))
  assert 5 < keep.sum() < 55
  order = np.random.default_rng(6).permutation(60)
  assert np.array_equal(SUPPRESS(boxes[order], scores[order], ones, 0.3), keep[order])
  # Better boxes in the same places, which are padding.
  padded = SUPPRESS(
    np.repeat(boxes, 2, 0),
    np.stack([scores + 100, scores], 1).ravel(),
    np.tile([False, True], 60),
    0.3,
  )
  assert np.array_equal(padded[1::2], keep)
  assert not padded[::2].any()


def test_a_chain_of_boxes_is_decided_to_its_end():
  """Each box overlaps its neighbours alone, so every second one remains: as many rounds."""
  number = 64
  start = np.arange(number, dtype="f4")[:, None] * np.array([[4.0, 0.0]], "f4")
  boxes = np.concatenate([start, start + np.array([[10.0, 10.0]], "f4")], axis=1)
  scores = -np.arange(number, dtype="f4")
  keep = SUPPRESS(boxes, scores, np.ones(number, bool), 0.2)
  assert np.array_equal(keep, np.arange(number) % 2 == 0)


def test_images_of_a_batch_are_decided_on_their_own():
  boxes = jnp.stack([random_boxes(seed, 60, extent=40) for seed in range(3)])
  scores = jnp.asarray(np.random.default_rng(0).random((3, 60)), jnp.float32)
  valid = jnp.ones((3, 60), bool).at[1].set(False)
  both = jax.jit(jax.vmap(lambda *x: suppress(*x, 0.3)))(boxes, scores, valid)
  for i in range(3):
    assert np.array_equal(both[i], SUPPRESS(boxes[i], scores[i], valid[i], 0.3))
  assert not both[1].any()


def test_more_are_wanted_than_there_are():
  boxes = random_boxes(0, 3, extent=0)
  valid = jnp.array([False, True, False])
  indices, taken = best(boxes, jnp.array([3.0, 2, 1]), jnp.zeros(3, int), valid, 0.5, 5)
  assert indices.tolist() == [1, 0, 0, 0, 0]
  assert taken.tolist() == [True, False, False, False, False]


def test_impossible_settings_are_refused():
  boxes, scores, ones = random_boxes(0, 3), jnp.ones(3), jnp.ones(3, bool)
  with pytest.raises(InputError, match=r"must be in \[0, 1\]: got 50"):
    suppress(boxes, scores, ones, 50.0)
  with pytest.raises(InputError, match="must be at least 1: got 0"):
    best(boxes, scores, jnp.zeros(3, int), ones, 0.5, 0)
