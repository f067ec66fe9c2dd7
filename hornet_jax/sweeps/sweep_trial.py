"""A trial of a sweep, with what is known of it before it runs."""

import dataclasses
from typing import Any, NamedTuple

from hornet_jax.studies.model_cost import train_flops
from hornet_jax.studies.trial import Trial
from hornet_jax.sweeps.cost import Cost
from hornet_jax.sweeps.points import Point


class BranchPoint(NamedTuple):
  """A `BranchPoint` says with what a trial begins.

  Attributes:
    trunk: hash of the trial whose first steps are its own, too.
    step: number of these steps.
  """

  trunk: str
  step: int


@dataclasses.dataclass(frozen=True)
class SweepTrial:
  """A `SweepTrial` is a trial of a sweep with what is known of it beforehand.

  Attributes:
    trial: what is trained.
    point: values of the axes.
    cost: what it costs from its start.
    trunk: where it branches off from another trial; None for one that is trained from its start.
  """

  trial: Trial
  point: Point
  cost: Cost
  trunk: BranchPoint | None = None

  @property
  def arm(self) -> str:
    """Names the arm."""
    return self.point["arm"]

  @property
  def label(self) -> str:
    """Names the trial for a person, by the values of its axes."""
    others = (f"{name} {_text(value)}" for name, value in self.point.items() if name != "arm")
    return ", ".join([self.arm, *others])

  @property
  def spent_flops(self) -> int:
    """Gives the FLOPs that are spent on it alone: those of its trunk's steps are not."""
    if self.trunk is None:
      return self.cost.flops
    shared = self.trunk.step * self.cost.batch_size
    return train_flops(self.cost.model.macs, self.cost.images_seen - shared)


def _text(value: Any) -> str:
  if isinstance(value, int):
    return f"{value:,}"
  return f"{value:g}" if isinstance(value, float) else str(value)
