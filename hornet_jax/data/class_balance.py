"""This module sees to classes that have many more images than others."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from tabulate import tabulate

from hornet_jax.data.datasets import LABEL, Split
from hornet_jax.data.reading_once import read_once
from hornet_jax.errors import InputError, unknown_name

Weighting = Literal["none", "inverse", "effective"]
_BETA = 0.999  # of the effective number
_SHOWN = 20  # classes


def read_labels(split: Split) -> np.ndarray:
  """Reads the label of every example, int32 [N].

  The first time the whole split is read; the labels are then kept beside its files, where these
  can be written.

  Raises:
    InputError: if the examples have no label, as those of segmentation and detection.
  """

  def label(example: Mapping[str, Any]) -> int:
    if LABEL not in example:
      raise InputError(
        f"`data.class_balance`, `data.unique_images` and `loss.class_weighting` need one label an "
        f"image: {split.name} has none. Hint: leave them at 0, 0 and none."
      )
    return int(example[LABEL])

  return read_once(split, "labels", label, np.int32)


def class_weights(counts: np.ndarray, weighting: str) -> tuple[float, ...]:
  """Computes the weight of each class in the loss; over all examples they are 1 on average.

  Source: arXiv 1901.05555, section 3, for the effective number, with beta 0.999.

  Args:
    counts: images of each class that a pass has, int [K].
    weighting: name of a kind of weights: `"inverse"`, 1 / n for a class of n images;
      `"effective"`, 1 / effective number; `"none"`, 1. A class without images has weight 1, which
      has no effect.
  """
  if weighting not in get_args(Weighting):
    raise unknown_name("class weighting", weighting, get_args(Weighting))
  if weighting == "none":
    return (1.0,) * len(counts)
  numbers = effective_number(counts) if weighting == "effective" else counts.astype(float)
  raw = 1 / np.maximum(numbers, 1.0)
  weights = np.where(counts > 0, raw * counts.sum() / (raw * counts).sum(), 1.0)
  return tuple(float(f"{weight:.6g}") for weight in weights)


def effective_number(counts: np.ndarray) -> np.ndarray:
  """Computes (1 - beta^n) / (1 - beta): images beyond a thousand add ever less."""
  return (1 - _BETA ** counts.astype(float)) / (1 - _BETA)


@dataclasses.dataclass(frozen=True, eq=False)
class ClassBalance:
  """A `ClassBalance` shows examples of rare classes more often in training.

  A pass has as many examples as before, N. Of those, a class of n images gets a share that is
  proportional to n^(1 - strength): all of its images as often as they fit in, and a random part
  of them once more, another one on every pass.

  Attributes:
    labels: label of every example, int [N].
    strength: exponent in [0, 1]; 0 leaves the classes as they are, 1 makes them equal.
  """

  labels: np.ndarray
  strength: float

  def shares(self, num_classes: int) -> np.ndarray:
    """Counts the examples of each class in a pass, int [K]; they sum to N."""
    counts = np.bincount(self.labels, minlength=num_classes)
    raw = np.where(counts > 0, np.maximum(counts, 1) ** (1 - self.strength), 0.0)
    exact = raw / raw.sum() * len(self.labels)
    shares = exact.astype(int)
    missing = len(self.labels) - shares.sum()
    shares[np.argsort(shares - exact, kind="stable")[:missing]] += 1
    return shares

  @functools.cached_property
  def _members(self) -> list[np.ndarray]:
    order = np.argsort(self.labels, kind="stable").astype(np.int32)
    return np.split(order, np.cumsum(np.bincount(self.labels))[:-1])

  def order(self, seed: int, epoch: int) -> np.ndarray:
    """Draws the examples of a pass, int32 [N]; equal arguments give equal orders."""
    rng = np.random.default_rng([seed, epoch])
    chosen = []
    for share, members in zip(self.shares(len(self._members)), self._members, strict=True):
      if share:
        whole, part = divmod(int(share), len(members))
        chosen += [members] * whole + [rng.permutation(members)[:part]]
    return rng.permutation(np.concatenate(chosen))


class BalancedOrder:
  """A `BalancedOrder` is an endless order of examples, drawn for each pass by a `ClassBalance`."""

  def __init__(self, balance: ClassBalance, seed: int):
    """Draws nothing yet.

    Args:
      balance: choice of the examples of each pass.
      seed: seed of the order.
    """
    self._balance, self._seed = balance, seed
    self._order = functools.lru_cache(maxsize=2)(functools.partial(balance.order, seed))

  def __reduce__(self):
    return BalancedOrder, (self._balance, self._seed)

  def __len__(self) -> int:
    """Gives the number of examples of a pass."""
    return len(self._balance.labels)

  def __getitem__(self, position: int) -> int:
    """Gives the number of the example at a position, which may lie in any pass."""
    epoch, within = divmod(position, len(self))
    return int(self._order(epoch)[within])


def describe(
  class_names: Sequence[str], labels: np.ndarray, strength: float, weights: Sequence[float]
) -> str:
  """Tabulates what balancing does to each class; of many, to the rarest.

  Args:
    class_names: names of the K classes.
    labels: label of every example.
    strength: strength of the `ClassBalance`.
    weights: weight of each class in the loss; empty for 1.
  """
  counts = np.bincount(labels, minlength=len(class_names))
  shares = ClassBalance(labels, strength).shares(len(class_names))
  weights = weights or (1.0,) * len(class_names)
  rows = [
    [name, int(count), round(float(number), 1), int(share), weight]
    for name, count, number, share, weight in zip(
      class_names, counts, effective_number(counts), shares, weights, strict=True
    )
  ]
  headers = ["class", "images", "effective number", "seen in a pass", "weight in the loss"]
  by_size = [rows[k] for k in np.argsort(counts, kind="stable").tolist()]
  rarest = by_size[:_SHOWN] if len(rows) > _SHOWN else rows
  text = tabulate(rarest, headers=headers, intfmt=",", disable_numparse=[0])
  return text if len(rows) == len(rarest) else f"{text}\nand {len(rows) - _SHOWN:,} larger classes"
