"""Batches of one kind of examples each: every example as often as the others, on every topology."""

import itertools

import numpy as np
import pytest

from hornet_jax.data.datasets import Split
from hornet_jax.data.kinds import KindOrder, Kinds, order_of_evaluation
from hornet_jax.data.pipeline import eval_batches, train_batches
from hornet_jax.data.pixels.decode import UndecodableImageError
from hornet_jax.data.schema import Field

OF = np.array([0, 1, 0, 0, 2, 1, 0, 1, 0, 0, 0])  # 7 of kind 0, 3 of kind 1, 1 of kind 2
B = 4


def batches_of(order, first, count):
  """The numbers of the examples of some batches, [count, B]."""
  positions = range(first * B, (first + count) * B)
  return np.array([order[p] for p in positions]).reshape(count, B)


def test_a_turn_has_every_example_equally_often():
  order = KindOrder(OF, B, seed=3)
  turn = batches_of(order, 0, len(OF))
  assert (OF[turn] == OF[turn][:, :1]).all()
  np.testing.assert_array_equal(np.bincount(turn.ravel()), np.full(len(OF), B))
  # Later turns too, in another order.
  later = batches_of(order, len(OF), len(OF))
  np.testing.assert_array_equal(np.bincount(later.ravel()), np.full(len(OF), B))
  assert (later != turn).any()


def test_kinds_are_spread_evenly():
  of = np.repeat([0, 1, 2], [600, 90, 10])
  order = KindOrder(of, 1, seed=0)
  kinds = of[[order[p] for p in range(len(of))]]
  for kind, size in enumerate((600, 90, 10)):
    seen = np.cumsum(kinds == kind)
    expected = np.arange(1, len(of) + 1) * size / len(of)
    assert np.abs(seen - expected).max() < 3


def test_passes_over_a_kind_run_on():
  order = KindOrder(OF, B, seed=5)
  turn = batches_of(order, 0, len(OF))
  of_kind = turn[OF[turn[:, 0]] == 0].ravel()
  for start in range(0, len(of_kind), 7):
    assert sorted(of_kind[start : start + 7]) == [0, 2, 3, 6, 8, 9, 10]


def test_equal_seeds_give_equal_orders():
  one, same, other = (batches_of(KindOrder(OF, B, seed), 7, 9) for seed in (1, 1, 2))
  np.testing.assert_array_equal(one, same)
  assert (one != other).any()


def test_evaluation_sees_each_example_once():
  rows, kinds = order_of_evaluation(OF, B)
  assert sorted(rows[rows >= 0]) == list(range(len(OF)))
  assert len(rows) == 8 + 4 + 4
  assert (kinds.reshape(-1, B) == kinds.reshape(-1, B)[:, :1]).all()
  np.testing.assert_array_equal(OF[rows[rows >= 0]], kinds[rows >= 0])
  # One kind: the order of the split, the end filled up.
  rows, kinds = order_of_evaluation(np.zeros(6, int), B)
  assert rows.tolist() == [0, 1, 2, 3, 4, 5, -1, -1]
  assert not kinds.any()


SHAPES = [(2, 3, 1), (3, 2, 1), (4, 4, 1)]
SCHEMAS = [{"image": Field(shape, np.uint8, pad=7)} for shape in SHAPES]
KINDS = Kinds(SCHEMAS, OF)


class Load:
  """Loads an image whose pixels are its number; that of example 5 cannot be decoded."""

  def __call__(self, example, rng):
    if example["number"] == 5:
      raise UndecodableImageError("broken")
    drawn = 0 if rng is None else int(rng.integers(2)) * 100
    number = example["number"]
    return {"image": np.full(SHAPES[OF[number]], number + drawn, np.uint8)}


@pytest.fixture
def split():
  return Split("numbers/train", [{"number": k} for k in range(len(OF))], [])


def read(split, count, **settings):
  stream = train_batches(split, Load(), KINDS, batch_size=B, seed=2, **settings)
  return list(itertools.islice(stream, count))


def test_batches_have_the_arrays_of_their_kind(split):
  seen = set()
  for batch in read(split, 12):
    (kind,) = set(OF[batch["index"]].tolist())
    seen.add(kind)
    assert batch["image"].shape == (B, *SHAPES[kind])
    np.testing.assert_array_equal(batch["weight"], batch["index"] != 5)
    assert (batch["image"][batch["index"] == 5] == 7).all()
  assert seen == {0, 1, 2}


def test_they_are_the_same_on_every_topology(split):
  whole = read(split, 12)
  parts = [read(split, 12, rows=rows) for rows in ([0, 3], [1, 2])]
  late = read(split, 4, start_step=8, num_processes=2)
  for step, batch in enumerate(whole):
    for rows, part in zip(([0, 3], [1, 2]), parts, strict=True):
      for name, values in batch.items():
        np.testing.assert_array_equal(part[step][name], values[rows])
    if step >= 8:
      for name, values in batch.items():
        np.testing.assert_array_equal(late[step - 8][name], values)


def test_evaluation_has_the_arrays_of_each_kind(split):
  found = []
  for batch in eval_batches(split, Load(), KINDS, batch_size=B):
    counts = batch["weight"] > 0
    found += batch["index"][counts].tolist()
    (kind,) = set(OF[batch["index"][batch["index"] >= 0]].tolist())
    assert batch["image"].shape == (B, *SHAPES[kind])
    assert (batch["image"][~counts] == 7).all()
    np.testing.assert_array_equal(batch["image"][counts, 0, 0, 0], batch["index"][counts])
  assert sorted(found) == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]
