"""The examples of a split may be of several kinds, such as portrait and landscape images.

A batch has examples of one kind alone, so that each kind has arrays of its own shape, for which
programs are compiled once.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hornet_jax.data.schema import Schema


class Kinds(NamedTuple):
  """These are the kinds of the examples of a split.

  Attributes:
    schemas: fields of an example of each kind.
    of: number of the kind of each example of the split, int [N].
  """

  schemas: Sequence[Schema]
  of: np.ndarray


def join_kinds(schemas: Sequence[Schema], of: np.ndarray | None) -> Schema | Kinds:
  """Joins the schemas with the kind of each example; where there is no kind it is the only one."""
  return schemas[0] if of is None else Kinds(schemas, of)


def shares(schemas: Sequence[Schema], of: np.ndarray) -> str:
  """Says which part of the examples is of each kind, by height and width of its images."""
  counts = np.bincount(of, minlength=len(schemas))
  sizes = ["{}x{}".format(*schema["image"].shape) for schema in schemas]
  return ", ".join(
    f"{count / len(of):.1%} on {size}" for size, count in zip(sizes, counts, strict=True)
  )


class KindOrder:
  """A `KindOrder` is an endless order of examples in which every batch is of one kind.

  The examples of a kind are shuffled anew on every pass over them, and these passes run on across
  batches. N batches, N the number of all examples, have every example B times; of any first n
  batches each kind has its share, but for one batch or two. Equal arguments give equal orders.
  """

  def __init__(self, of: np.ndarray, batch_size: int, seed: int):
    """Orders nothing yet.

    Args:
      of: kind of each example, int [N].
      batch_size: B.
      seed: seed of the order.
    """
    self._of, self._batch_size, self._seed = of, batch_size, seed
    self._members = [np.flatnonzero(of == kind) for kind in range(int(of.max()) + 1)]
    self._num_examples = len(of)
    # The batches of one turn, and the order of an example's kind, are asked for again and again.
    self._turn = functools.lru_cache(maxsize=2)(self._draw_turn)
    self._pass = functools.lru_cache(maxsize=4 * len(self._members))(self._draw_pass)

  def __reduce__(self):
    return KindOrder, (self._of, self._batch_size, self._seed)

  def __len__(self) -> int:
    """Gives the length of a turn, in which every example comes B times."""
    return self._num_examples * self._batch_size

  def __getitem__(self, position: int) -> int:
    """Gives the number of the example at a position, which may lie in any turn."""
    turn, within = divmod(position, len(self))
    batch, row = divmod(within, self._batch_size)
    kinds, ranks = self._turn(turn)
    kind = int(kinds[batch])
    members = self._members[kind]
    # A turn has as many batches of a kind as it has examples: B passes over them.
    place = int(ranks[batch]) * self._batch_size + row
    number, offset = divmod(place, len(members))
    return int(self._pass(kind, turn * self._batch_size + number)[offset])

  def _draw_turn(self, turn: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws the kind of each batch, and its rank among those of the same kind, int32 [N] each."""
    rng = np.random.default_rng([self._seed, turn])
    sizes = [len(members) for members in self._members]
    kinds = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    ranks = np.concatenate([np.arange(size, dtype=np.int32) for size in sizes])
    # The batches of each kind are spread evenly, each within its own share of the turn.
    times = (ranks + rng.random(len(ranks))) / np.repeat(np.maximum(sizes, 1), sizes)
    order = np.argsort(times, kind="stable")
    return kinds[order], ranks[order]

  def _draw_pass(self, kind: int, number: int) -> np.ndarray:
    """Shuffles the examples of a kind for one pass."""
    return np.random.default_rng([self._seed, kind, number]).permutation(self._members[kind])


def order_of_evaluation(of: np.ndarray, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
  """Orders the examples of a split kind by kind, the last batch of each filled up.

  Args:
    of: kind of each example, int [N].
    batch_size: rows of a batch.

  Returns:
    The number of the example in each row, -1 for none, and the kind of each row.
  """
  rows, kinds = [], []
  for kind in np.unique(of).tolist():
    members = np.flatnonzero(of == kind)
    padded = np.full(-(-len(members) // batch_size) * batch_size, -1)
    padded[: len(members)] = members
    rows.append(padded)
    kinds.append(np.full(len(padded), kind))
  return np.concatenate(rows), np.concatenate(kinds)
