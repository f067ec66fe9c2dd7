"""A part of a prepared split is some of its examples, in an order of its own."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from jaxtyping import Int
from numpy import ndarray

from hornet_jax.data.datasets import Split


@dataclasses.dataclass(frozen=True, eq=False)
class Part(Sequence[dict[str, Any]]):
  """A `Part` is the source of a split that is some examples of another one.

  Attributes:
    whole: split to choose from.
    indices: numbers of the examples in it, in the order of the part.
  """

  whole: Split
  indices: Int[ndarray, "n"]

  def __len__(self) -> int:
    return len(self.indices)

  def __getitem__(self, index: Any) -> Any:
    return self.whole.source[int(self.indices[index])]


def take_part(split: Split, indices: Int[ndarray, "n"], what: str = "") -> Split:
  """Chooses examples of a split.

  Args:
    split: split to choose from.
    indices: numbers of the examples.
    what: words for messages, such as `16 images`; empty to keep the name of the whole.
  """
  name = f"{split.name}, {what}" if what else split.name
  return dataclasses.replace(split, name=name, source=Part(split, indices))
