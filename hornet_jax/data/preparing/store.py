"""This module stores examples as TFDS does; it needs TensorFlow."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from hornet_jax.data.datasets import ARRAY_RECORD

_CHUNK = 256  # examples
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def store(data_dir: str, **description: Any) -> Any:
  """Stores a dataset that is no class of its own, and returns its TFDS builder.

  Args:
    data_dir: folder of prepared datasets.
    **description: arguments of TFDS's `AdhocBuilder`.
  """
  import tensorflow_datasets as tfds

  builder = tfds.dataset_builders.AdhocBuilder(
    data_dir=data_dir, file_format=ARRAY_RECORD, **description
  )
  builder.download_and_prepare()
  return builder


def map_in_threads(
  function: Callable[[_Item], _Result], items: Sequence[_Item]
) -> Iterator[_Result]:
  """Yields what a function makes of each item, in order, a few at a time.

  More of them would wait in memory for the writer.

  Args:
    function: function that spends its time outside of Python, such as by decoding.
    items: arguments of the function.
  """
  with ThreadPoolExecutor(os.cpu_count()) as pool:
    for start in range(0, len(items), _CHUNK):
      yield from pool.map(function, items[start : start + _CHUNK])
