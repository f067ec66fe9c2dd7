"""Subsets of the training images are balanced, and each is contained in every larger one."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int, UInt64

from hornet_jax.data.class_balance import read_labels
from hornet_jax.data.datasets import Split
from hornet_jax.data.part import take_part
from hornet_jax.data.reading_once import read_once
from hornet_jax.errors import InputError

_DIGEST_BYTES = 8


def take_subset(split: Split, size: int) -> Split:
  """Chooses the first images of a split in the order of `nested_order`.

  Args:
    split: split to choose from. The first time it is read as a whole, to hash its images.
    size: number of images.

  Raises:
    InputError: if the split has fewer.
  """
  if size > len(split.source):
    raise InputError(
      f"`data.unique_images` must not exceed the split: expected at most {len(split.source)} for "
      f"{split.name}, got {size}."
    )
  digests = read_once(split, "digests", _digest, np.uint64)
  indices = nested_order(read_labels(split), digests)[:size]
  return take_part(split, indices, f"{size} images")


def nested_order(labels: Int[np.ndarray, "N"], digests: UInt64[np.ndarray, "N"]) -> np.ndarray:
  """Orders examples so that the first n, for every n, have equally many of each class.

  First comes the image with the smallest digest of each class, then the second one of each class
  that has one, and so on; those of one turn come by their digests. The order depends on what the
  images are, and not on where they lie.

  Args:
    labels: class of every example.
    digests: hash of every image.

  Returns:
    Numbers of the examples, int64 [N].
  """
  by_class = np.lexsort((digests, labels))
  counts = np.bincount(labels)
  firsts = np.cumsum(counts) - counts
  turns = np.arange(len(labels)) - np.repeat(firsts, counts)
  return by_class[np.lexsort((digests[by_class], turns))]


def _digest(example: Mapping[str, Any]) -> int:
  digest = hashlib.blake2b(example["image"], digest_size=_DIGEST_BYTES).digest()
  return int.from_bytes(digest, "big")
