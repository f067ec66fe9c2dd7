"""The training loop knows what is measured by this face alone."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Metric(Protocol):
  """A metric gathers the results of examples and computes numbers of all of them.

  Attributes:
    count: number of examples gathered.
  """

  @property
  def count(self) -> int: ...

  def update(self, results: Mapping[str, np.ndarray]) -> None:
    """Gathers the results of some examples.

    Args:
      results: what `Task.predict` gave, and `index`, of the rows that count.
    """
    ...

  def merge(self, other: Any) -> Any:
    """Joins two metrics, the examples of the other after its own, to a new one."""
    ...

  def compute(self) -> dict[str, float]:
    """Computes the numbers, as they are logged."""
    ...
