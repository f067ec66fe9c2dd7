"""Grain's datasets hold the examples of another one in another order."""

from collections.abc import Sequence

import grain
import numpy as np

from hornet_jax.data.class_balance import BalancedOrder
from hornet_jax.data.kinds import KindOrder, order_of_evaluation
from hornet_jax.data.schema import Schema


class OrderedDataset(grain.MapDataset):
  """`OrderedDataset` holds the parent's examples in an order that never ends."""

  def __init__(self, parent: grain.MapDataset, order: KindOrder | BalancedOrder):
    super().__init__(parent)
    self._source = parent
    self._order = order

  def __len__(self) -> int:
    return len(self._order)

  def __getitem__(self, index):
    return self._source[self._order[index]]


class RowsDataset(grain.MapDataset):
  """`RowsDataset` holds, of every `batch_size` examples, those at `rows`.

  Element i is the parent's (i // r) * batch_size + rows[i % r], r = len(rows).
  """

  def __init__(self, parent: grain.MapDataset, batch_size: int, rows: Sequence[int]):
    super().__init__(parent)
    self._source = parent
    self._batch_size = batch_size
    self._rows = [int(row) for row in rows]

  def __len__(self) -> int:
    return len(self._source) // self._batch_size * len(self._rows)

  def __getitem__(self, index):
    batch, row = divmod(index, len(self._rows))
    return self._source[batch * self._batch_size + self._rows[row]]


class PaddedDataset(grain.MapDataset):
  """`PaddedDataset` holds the parent's examples kind by kind, each filled up to whole batches."""

  def __init__(
    self,
    parent: grain.MapDataset,
    kinds: np.ndarray,
    batch_size: int,
    fields: Sequence[Schema],
  ):
    super().__init__(parent)
    self._source = parent
    self._rows, self._kinds = order_of_evaluation(kinds, batch_size)
    self._padding = [{name: field.padding() for name, field in one.items()} for one in fields]

  def __len__(self) -> int:
    return len(self._rows)

  def __getitem__(self, index):
    row = int(self._rows[index])
    return self._padding[self._kinds[index]] if row < 0 else self._source[row]
