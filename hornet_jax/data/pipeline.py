"""This module makes batches of examples, the same on every topology.

The order of examples, their augmentation and the rows of every global batch depend on
the seed and the position alone: not on the number of processes, readers or threads.
A position is a step, so resuming is a seek.
"""

import atexit
import dataclasses
import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import grain
import numpy as np
from absl import flags

from hornet_jax.data.class_balance import BalancedOrder, ClassBalance
from hornet_jax.data.datasets import Split, file_of
from hornet_jax.data.kinds import KindOrder, Kinds
from hornet_jax.data.ordered import OrderedDataset, PaddedDataset, RowsDataset
from hornet_jax.data.pixels.decode import UndecodableImageError
from hornet_jax.data.schema import Field, Schema, batch_schema, check_loaded, row_bytes
from hornet_jax.data.shards import damaged
from hornet_jax.data.worker import follow_parent
from hornet_jax.errors import InputError
from hornet_jax.files import retried

_logger = logging.getLogger(__name__)

Batch = dict[str, np.ndarray]
"""What a task loads, such as `image` uint8 [b, S, S, 3]; `weight` float32 [b], 0 for rows that
must not count; `index` int32 [b], the example's number in its split, -1 for padding; `key`
int32 [b], where it was asked for."""

Load = Callable[[Mapping[str, Any], np.random.Generator | None], dict[str, Any]]
"""Makes of an example as stored one as its schema says; draws only where there is a generator."""

_BATCHES_AHEAD = 4
_BYTES_AHEAD = 2**32  # of batches of evaluation, in all processes that read for one
_WORTH_A_PROCESS = 1000  # images that are read in about the time in which a process starts


def train_batches(
  split: Split,
  load: Load,
  schema: Schema | Kinds,
  *,
  batch_size: int,
  seed: int,
  start_step: int = 0,
  rows: Sequence[int] | None = None,
  num_threads: int = 2,
  num_processes: int = 0,
  balance: ClassBalance | None = None,
) -> Generator[Batch, None, None]:
  """Yields endless batches of augmented examples, shuffled anew on every pass.

  The shuffled stream runs on across passes: no example is left out at their end. With `balance`
  a pass has some examples several times, and others not. With several kinds of examples each batch
  is of one kind, see `KindOrder`.

  Args:
    split: split to read.
    load: function that loads an example, with other draws on every pass.
    schema: fields of what it loads, of each kind where there are several.
    batch_size: rows of the global batch.
    seed: seed of the order and the augmentation.
    start_step: number of global batches to skip, without reading them.
    rows: rows of the global batch to deliver; None for all.
    num_threads: number of readers in each process.
    num_processes: number of processes that read and decode; 0 for this one alone.
    balance: choice of the examples of each pass; None for every example once.

  Raises:
    InputError: if the split has fewer examples than a batch, or there is `balance` with kinds.
  """
  if len(split.source) < batch_size:
    raise InputError(
      f"`batch_size` must not exceed the split: expected at most {len(split.source)} for "
      f"{split.name}, got {batch_size}."
    )

  loader = _Loader(split.name, load, schema)
  numbered = _numbered(split)
  if isinstance(schema, Kinds):
    if balance is not None:
      raise InputError(
        f"`data.class_balance` must be 0 where images come in batches of several shapes: those of "
        f"{split.name} do."
      )
    shuffled = OrderedDataset(numbered, KindOrder(schema.of, batch_size, seed)).seed(seed)
  elif balance is None:
    shuffled = numbered.seed(seed).shuffle()
  else:
    shuffled = OrderedDataset(numbered, BalancedOrder(balance, seed)).seed(seed)
  dataset = shuffled.repeat(None).random_map(loader)
  return _iterate(dataset, batch_size, rows, num_threads, num_processes, start_step)


def eval_batches(
  split: Split,
  load: Load,
  schema: Schema | Kinds,
  *,
  batch_size: int,
  rows: Sequence[int] | None = None,
  num_threads: int = 2,
  num_processes: int = 0,
  key: Callable[[dict[str, Any]], int] | None = None,
) -> Generator[Batch, None, None]:
  """Yields every example of a split once, in order; the last batch is padded with weight 0.

  Of several kinds of examples one comes after the other, each with a last batch that is padded.

  Closing the generator, or reading it to its end, ends the processes that read. Few images are
  read by fewer of them, as each takes seconds to start.

  Args:
    split: split to read.
    load: function that loads an example, without a generator.
    schema: fields of what it loads, of each kind where there are several.
    batch_size: rows of the global batch.
    rows: rows of the global batch to deliver; None for all.
    num_threads: number of readers in each process.
    num_processes: largest number of processes that read and decode; 0 for this one alone.
    key: function of a stored example; the batch carries its number for each row, 0 for padding.
      None for no numbers. It must be picklable where processes read.
  """
  kinds = schema if isinstance(schema, Kinds) else Kinds([schema], np.zeros(len(split.source), int))
  of_key = {"key": Field((), np.int32)} if key else {}
  fields = [batch_schema(of_kind) | of_key for of_kind in kinds.schemas]
  loader = _Loader(split.name, load, schema, key)
  dataset = PaddedDataset(_numbered(split).map(loader), kinds.of, batch_size, fields)
  num_batches = len(dataset) // batch_size
  num_rows = batch_size if rows is None else len(rows)
  num_images = num_batches * num_rows
  num_processes = min(num_processes, num_batches, num_images // _WORTH_A_PROCESS)
  largest = max(map(row_bytes, fields))
  at_most = _BYTES_AHEAD // (max(num_processes, 1) * num_rows * largest)
  return _iterate(dataset, batch_size, rows, num_threads, num_processes, at_most=max(at_most, 1))


def _numbered(split: Split) -> grain.MapDataset:
  """Returns the examples, each with its number in the split."""
  source = _Retried(split)
  return grain.MapDataset.source(source).map_with_index(_Number(len(source)))


def _iterate(
  dataset: grain.MapDataset,
  batch_size: int,
  rows: Sequence[int] | None,
  num_threads: int,
  num_processes: int = 0,
  start_step: int = 0,
  at_most: int | None = None,
) -> Generator[Batch, None, None]:
  rows = range(batch_size) if rows is None else rows
  dataset = RowsDataset(dataset, batch_size, rows).batch(len(rows), drop_remainder=True)
  ahead = max(_BATCHES_AHEAD, num_threads)
  ahead = min(ahead, at_most or ahead)
  # A thread makes a batch.
  options = grain.ReadOptions(num_threads=min(num_threads, ahead), prefetch_buffer_size=ahead)
  batches = dataset[start_step:].to_iter_dataset(options)
  if num_processes:
    if not flags.FLAGS.is_parsed():
      flags.FLAGS.mark_as_parsed()  # Grain asks absl for flags that nobody has to give
    # Worker i makes the batches i, i + n, ...: they arrive in their order.
    workers = grain.MultiprocessingOptions(num_workers=num_processes)
    batches = batches.mp_prefetch(workers, follow_parent)
  iterator = iter(batches)
  # Ends threads and processes: with the generator, or at the latest with this process, before
  # it waits for them.
  atexit.register(iterator.close)
  try:
    yield from iterator
  finally:
    atexit.unregister(iterator.close)
    iterator.close()


# What is called for each example is a class, as nested functions do not reach other processes.


@dataclasses.dataclass(frozen=True)
class _Retried:
  """`_Retried` is a source that is asked again where its storage fails for a while."""

  split: Split

  def __len__(self) -> int:
    return len(self.split.source)

  def __getitem__(self, index: int) -> dict[str, Any]:
    name, source = self.split.name, self.split.source
    try:
      return retried(f"reading example {index} of {name}", lambda: source[index])
    except RuntimeError as error:  # of ArrayRecord
      raise damaged(f"{name}, example {index},", self.split.files, error) from error


@dataclasses.dataclass(frozen=True)
class _Number:
  count: int

  def __call__(self, position: int, example: dict[str, Any]) -> dict[str, Any]:
    # Positions run on in later passes.
    return {**example, "index": np.int32(position % self.count)}


class _Loader:
  """A `_Loader` turns stored examples into rows of a batch."""

  def __init__(
    self,
    split_name: str,
    load: Load,
    schema: Schema | Kinds,
    key: Callable[[dict[str, Any]], int] | None = None,
  ):
    self._split_name = split_name
    self._load = load
    self._schema = schema
    self._key = key
    self._warned: set[int] = set()

  def __call__(
    self, example: dict[str, Any], rng: np.random.Generator | None = None
  ) -> dict[str, Any]:
    """Loads an example; one whose image cannot be decoded becomes padding, of weight 0.

    Dropping it instead would shift every later position.
    """
    index, weight = example["index"], 1.0
    schema = self._schema
    if isinstance(schema, Kinds):
      schema = schema.schemas[schema.of[index]]
    try:
      loaded = self._loaded(example, rng)
      check_loaded(loaded, schema, f"example {index} of {self._split_name}")
    except UndecodableImageError as error:
      if int(index) not in self._warned:
        self._warned.add(int(index))
        _logger.warning("example %d of %s left out: %s", index, self._split_name, error)
      loaded, weight = {name: field.padding() for name, field in schema.items()}, 0.0
    row = {**loaded, "weight": np.float32(weight), "index": index}
    return row | {"key": np.int32(self._key(example))} if self._key else row

  def _loaded(self, example: dict[str, Any], rng: np.random.Generator | None) -> dict[str, Any]:
    """Loads an example; where it is refused, it is named."""
    try:
      return self._load(example, rng)
    except InputError as error:
      named = f" ({file})" if (file := file_of(example)) else ""
      raise InputError(
        f"example {example['index']} of {self._split_name}{named}: {error}"
      ) from error
