"""Candidates are matched with objects by overlap, and drawn at random."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_detection import overlap_of, random_boxes

from hornet_jax.dense.boxes import Assigner, positive_slots, sample
from hornet_jax.errors import InputError


def assigned_by_a_loop(candidates, boxes, assigner):
  """What the definition says, one candidate and one object after the other."""
  table = np.array([[overlap_of(c, b) for b in boxes.tolist()] for c in candidates.tolist()], "f4")
  matched = []
  for row in table:
    if row.max() >= assigner.positive:
      matched.append(int(row.argmax()))
    else:
      matched.append(-1 if row.max() < assigner.negative else -2)
  if assigner.least is not None:
    for j in range(len(boxes)):
      best = table[:, j].max()
      for i in range(len(candidates)):
        if best >= assigner.least and table[i, j] == best:
          matched[i] = j
  return matched


ASSIGNERS = [Assigner(0.7, 0.3, 0.3), Assigner(0.5, 0.5), Assigner(0.6, 0.2, 0.0)]


@pytest.mark.parametrize("assigner", ASSIGNERS)
def test_assignment_is_that_of_a_loop_whatever_is_padding(assigner):
  candidates = random_boxes(0, 60)
  boxes = jnp.concatenate([random_boxes(1, 5), candidates[:2] + 0.5, candidates[7:8]])
  candidates = candidates.at[8].set(candidates[7])  # two that overlap an object equally
  expected = assigned_by_a_loop(candidates, boxes, assigner)
  assert {-1, 7} <= set(expected)
  assert expected[7] == expected[8] == 7
  ones = jnp.ones(60, bool), jnp.ones(8, bool)
  found = jax.jit(assigner.assign)(candidates, ones[0], boxes, ones[1])
  assert found.tolist() == expected
  assert found.dtype == jnp.int32
  # Padding that overlaps everything changes nothing, and is matched with nothing.
  more = jnp.concatenate([candidates[:9], boxes[:3], candidates[9:]])
  valid = np.isin(np.arange(63), [9, 10, 11], invert=True)
  padded = jnp.concatenate([boxes, candidates[20:24], jnp.zeros((3, 4))])
  box_valid = jnp.arange(len(padded)) < 8
  of_batch = jax.jit(jax.vmap(assigner.assign))
  [again] = np.asarray(of_batch(more[None], valid[None], padded[None], box_valid[None]))
  assert again[valid].tolist() == expected
  assert (again[~valid] == -2).all()


def test_an_object_that_nothing_overlaps_enough_gets_its_best():
  candidates = jnp.array([[0, 0, 10, 10], [0, 0, 10, 10], [50, 50, 60, 60]], "f4")
  boxes = jnp.array([[0, 5, 10, 15], [6, 0, 16, 10]], "f4")  # 1/3 and 1/4 of the first two
  valid = jnp.ones(3, bool), jnp.ones(2, bool)

  def assigned(*settings):
    assign = jax.jit(Assigner(*settings).assign)
    return assign(candidates, valid[0], boxes, valid[1]).tolist()

  assert assigned(0.7, 0.3) == [-2, -2, -1]
  assert assigned(0.7, 0.3, 0.3) == [0, 0, -1]
  assert assigned(0.7, 0.3, 0.2) == [1, 1, -1]  # the last of the objects that they are best for
  assert assigned(0.7, 0.7, 0.4) == [-1, -1, -1]


@pytest.mark.parametrize(("settings", "matched"), [((0.7, 0.5), -2), ((0.5, 0.3), 0)])
def test_an_overlap_at_a_bound_is_not_below_it(settings, matched):
  half, whole = jnp.array([[0.0, 0, 10, 5]]), jnp.array([[0.0, 0, 10, 10]])
  one = jnp.ones(1, bool)
  assert jax.jit(Assigner(*settings).assign)(half, one, whole, one).tolist() == [matched]


def test_without_objects_all_is_background():
  candidates, none = random_boxes(0, 4), jnp.zeros((3, 4))
  for assigner in ASSIGNERS:
    valid = jnp.array([True, True, True, False])
    found = assigner.assign(candidates, valid, none, jnp.zeros(3, bool))  # without jit
    assert found.tolist() == [-1, -1, -1, -2]


MATCHED = jnp.array([-1, 0, -2, 3, -1, -1, 2, -2, -1, 1, -1, 0])  # 5 of objects, 5 of background
DRAW = jax.jit(jax.vmap(lambda key: sample(key, MATCHED, 8, 0.25)))


def test_a_sample_has_its_share_of_objects_first_and_nothing_twice():
  keys = jax.random.split(jax.random.key(0), 1000)
  drawn = DRAW(keys)
  matched = np.asarray(MATCHED)[drawn.indices]
  assert positive_slots(8, 0.25) == 2
  assert (drawn.positive == (jnp.arange(8) < 2)[None]).all()
  assert (drawn.valid == (jnp.arange(8) < 7)[None]).all()  # 2 of objects, all 5 of background
  assert (matched[:, :2] >= 0).all()
  assert (matched[:, 2:7] == -1).all()
  assert (drawn.indices[:, 7] == 0).all()
  assert all(len(set(row)) == 7 for row in drawn.indices[:, :7].tolist())
  # Each object is drawn as often as any other: 400 of 1000 times, give or take five deviations.
  number = np.bincount(drawn.indices[:, :2].ravel(), minlength=12)[np.asarray(MATCHED) >= 0]
  assert number.sum() == 2000
  assert (np.abs(number - 400) < 5 * np.sqrt(1000 * 0.4 * 0.6)).all()
  # The same key draws the same, another one something else.
  assert (DRAW(keys).indices == drawn.indices).all()
  assert len({tuple(row) for row in drawn.indices.tolist()}) > 500


def test_of_much_background_each_is_drawn_as_often():
  keys = jax.random.split(jax.random.key(1), 2000)
  drawn = jax.jit(jax.vmap(lambda key: sample(key, jnp.full(10, -1), 4, 0.5)))(keys)
  assert drawn.valid.all()
  assert not drawn.positive.any()
  number = np.bincount(drawn.indices.ravel())
  assert (np.abs(number - 800) < 5 * np.sqrt(2000 * 0.4 * 0.6)).all()


def test_a_sample_of_fewer_candidates_than_slots():
  drawn = sample(jax.random.key(0), jnp.array([-2, 0, -1]), 8, 1.0)
  assert drawn.indices.tolist() == [1, 2, 0, 0, 0, 0, 0, 0]
  assert drawn.positive.tolist() == [True] + [False] * 7
  assert drawn.valid.tolist() == [True] * 2 + [False] * 6
  nothing = sample(jax.random.key(0), jnp.full(5, -2), 4, 0.25)
  assert not nothing.valid.any()
  assert nothing.indices.tolist() == [0] * 4


@pytest.mark.parametrize("count", [1, 2])
def test_the_smallest_samples_have_a_slot_for_an_object(count):
  assert positive_slots(count, 0.25) == 1
  drawn = sample(jax.random.key(0), MATCHED, count, 0.25)
  assert drawn.positive.tolist() == [True, False][:count]
  assert drawn.valid.all()
  background = sample(jax.random.key(0), jnp.full(3, -1), count, 0.25)
  assert background.valid.all()
  assert not background.positive.any()


@pytest.mark.parametrize(
  "call",
  [
    lambda: Assigner(0.3, 0.7),
    lambda: Assigner(0.7, 0.3, 1.5),
    lambda: sample(jax.random.key(0), MATCHED, 0, 0.5),
    lambda: sample(jax.random.key(0), MATCHED, 4, 1.5),
    lambda: sample(jax.random.key(0), MATCHED, 4, 0.0),
  ],
)
def test_impossible_settings_are_refused(call):
  with pytest.raises(InputError, match=r"must|needs"):
    call()
