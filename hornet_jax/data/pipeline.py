"""Batches of pixels and labels, the same on every topology.

The order of examples, their augmentation and the rows of every global batch depend on
the seed and the position alone: not on the number of processes, readers or threads.
A position is a step, so resuming is a seek.
"""

import atexit
import dataclasses
import logging
from collections.abc import Callable, Generator, Sequence
from typing import Any

import grain
import numpy as np
from absl import flags

from hornet_jax.data.augment import Augmentation
from hornet_jax.data.datasets import Split
from hornet_jax.data.decode import UndecodableImageError
from hornet_jax.data.eval_view import EvalView
from hornet_jax.data.worker import follow_parent
from hornet_jax.errors import InputError

_logger = logging.getLogger(__name__)

Batch = dict[str, np.ndarray]
"""`image` uint8 [b, S, S, 3]; `label` int32 [b]; `weight` float32 [b], 0 for rows that
must not count; `index` int32 [b], the example's number in its split, -1 for padding; `key`
int32 [b], where it was asked for."""

_BATCHES_AHEAD = 4


def train_batches(
  split: Split,
  *,
  image_size: int,
  batch_size: int,
  augmentation: Augmentation,
  seed: int,
  start_step: int = 0,
  rows: Sequence[int] | None = None,
  num_threads: int = 2,
  num_processes: int = 0,
) -> Generator[Batch, None, None]:
  """Endless batches of augmented examples, shuffled anew on every pass.

  The shuffled stream runs on across passes: no example is left out at their end.

  Args:
    split: what to read.
    image_size: side of the images in pixels.
    batch_size: rows of the global batch.
    augmentation: of every image, anew on every pass.
    seed: of the order and the augmentation.
    start_step: number of global batches to skip, without reading them.
    rows: rows of the global batch to deliver; None for all.
    num_threads: readers in each process.
    num_processes: that read and decode; 0 for this one alone.

  Raises:
    InputError: if the split has fewer examples than a batch.
  """
  if len(split.source) < batch_size:
    raise InputError(
      f"`batch_size` must not exceed the split: expected at most {len(split.source)} for "
      f"{split.name}, got {batch_size}."
    )

  loader = _Loader(split.name, image_size, augmentation.library.decode)
  load = _TrainLoader(loader, augmentation)
  dataset = _numbered(split).seed(seed).shuffle().repeat(None).random_map(load)
  return _iterate(dataset, batch_size, rows, num_threads, num_processes, start_step)


def eval_batches(
  split: Split,
  *,
  view: EvalView,
  batch_size: int,
  rows: Sequence[int] | None = None,
  num_threads: int = 2,
  key: Callable[[dict[str, Any]], int] | None = None,
) -> Generator[Batch, None, None]:
  """Every example of a split once, in order; the last batch padded with weight 0.

  Args:
    split: what to read.
    view: of every image.
    batch_size: rows of the global batch.
    rows: rows of the global batch to deliver; None for all.
    num_threads: readers.
    key: a number of each stored example that its batch row carries, 0 for padding; None for
      none.
  """

  def load(example: dict[str, Any]) -> dict[str, Any]:
    loaded = loader.load(example, view)
    return loaded | {"key": np.int32(key(example))} if key else loaded

  loader = _Loader(split.name, view.image_size, view.library.decode)
  padding = {
    "image": np.zeros((view.image_size, view.image_size, 3), np.uint8),
    "label": np.int32(0),
    "weight": np.float32(0),
    "index": np.int32(-1),
  }
  if key:
    padding["key"] = np.int32(0)
  dataset = _PaddedDataset(_numbered(split).map(load), batch_size, padding)
  return _iterate(dataset, batch_size, rows, num_threads)


def _numbered(split: Split) -> grain.MapDataset:
  """The examples, each with its number in the split."""
  return grain.MapDataset.source(split.source).map_with_index(_Number(len(split.source)))


def _iterate(
  dataset: grain.MapDataset,
  batch_size: int,
  rows: Sequence[int] | None,
  num_threads: int,
  num_processes: int = 0,
  start_step: int = 0,
) -> Generator[Batch, None, None]:
  rows = range(batch_size) if rows is None else rows
  dataset = _RowsDataset(dataset, batch_size, rows).batch(len(rows), drop_remainder=True)
  ahead = max(_BATCHES_AHEAD, num_threads)
  options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=ahead)
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
class _Number:
  count: int

  def __call__(self, position: int, example: dict[str, Any]) -> dict[str, Any]:
    # Positions run on in later passes.
    return {**example, "index": np.int32(position % self.count)}


@dataclasses.dataclass(frozen=True)
class _TrainLoader:
  loader: "_Loader"
  augmentation: Augmentation

  def __call__(self, example: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    size = self.loader.image_size
    return self.loader.load(example, lambda pixels: self.augmentation.view(pixels, size, rng))


class _Loader:
  """Examples as stored to examples as trained on."""

  def __init__(self, split_name: str, image_size: int, decode: Callable[[bytes], np.ndarray]):
    self._split_name = split_name
    self.image_size = image_size
    self._decode = decode
    self._warned: set[int] = set()

  def load(
    self, example: dict[str, Any], view: Callable[[np.ndarray], np.ndarray]
  ) -> dict[str, Any]:
    """Decodes and makes a view; an undecodable image becomes black, of weight 0.

    Dropping it instead would shift every later position.
    """
    index, weight = example["index"], 1.0
    try:
      pixels = view(self._decode(example["image"]))
    except UndecodableImageError as error:
      if int(index) not in self._warned:
        self._warned.add(int(index))
        _logger.warning("example %d of %s left out: %s", index, self._split_name, error)
      pixels, weight = np.zeros((self.image_size, self.image_size, 3), np.uint8), 0.0
    return {
      "image": pixels,
      "label": np.int32(example["label"]),
      "weight": np.float32(weight),
      "index": index,
    }


class _RowsDataset(grain.MapDataset):
  """Of every `batch_size` examples, those at `rows`.

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


class _PaddedDataset(grain.MapDataset):
  """The parent once, then `padding` up to a multiple of `batch_size`."""

  def __init__(self, parent: grain.MapDataset, batch_size: int, padding: dict[str, Any]):
    super().__init__(parent)
    self._source = parent
    self._length = -(-len(parent) // batch_size) * batch_size
    self._padding = padding

  def __len__(self) -> int:
    return self._length

  def __getitem__(self, index):
    return self._source[index] if index < len(self._source) else self._padding
