"""A sweep is what a scaling study trains; its file says which sizes, which data and how."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from hornet_jax.errors import InputError, unknown_name
from hornet_jax.studies.definition import load_definition
from hornet_jax.studies.design import Design
from hornet_jax.studies.model_cost import train_flops
from hornet_jax.studies.trial import Trial
from hornet_jax.sweeps.branching import with_trunks
from hornet_jax.sweeps.cost import Cost, Setting, read_setting
from hornet_jax.sweeps.points import Point
from hornet_jax.sweeps.sweep_trial import SweepTrial

LENGTHS = ("images_seen", "passes", "flops")
"""Axes of which a point has one: how long the training is."""
_OWN = {"arm", "size", "seed", "unique_images", *LENGTHS}
_MAX_ROUNDING = 0.02  # of a budget, as a share, by whole steps


@runtime_checkable
class SizeRule(Protocol):
  """A `SizeRule` turns a size into a design, as `ByWidth` does."""

  def design_of(self, size: Any) -> Design:
    """Gives the design of a size; raises `InputError` where there is none."""
    ...


@dataclasses.dataclass(frozen=True)
class Sweep:
  """A `Sweep` trains the designs of some arms at the points of some axes.

  The axes of a point are `arm`, the name of an arm; `size`, which the arm's rule turns into a
  design; `unique_images`, the number of different images (those of the training split, if there
  is no such axis); one of `images_seen`, `passes` over the unique images, and `flops` of the whole
  training; `seed`; and any key of the config, such as `"optimizer.learning_rate"`.

  Attributes:
    config: config file, with `{variant}` in its argument.
    arms: name -> rule that turns a size into a design.
    points: points that are trained.
    settings: overrides of the config for all trials.
    of_arms: name of an arm -> overrides of the config for its trials, such as the learning rate.
    warmup: share of a run in which the learning rate grows.
    branching: whether trials that differ in length alone branch off from the longest of them; the
      learning rate of all then grows as long as that of the shortest. The settings must be those of
      such runs, see `hornet_jax.train.branch`.
  """

  config: str
  arms: Mapping[str, SizeRule]
  points: Sequence[Point]
  settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  of_arms: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
  warmup: float = 0.1
  branching: bool = False

  def __post_init__(self) -> None:
    """Raises `InputError` where a name is used that is not there, or a point lacks an axis."""
    for name in self.of_arms:
      if name not in self.arms:
        raise unknown_name("arm of `of_arms`", name, self.arms)
    for point in self.points:
      _check(point, self.arms)

  def trials(self) -> list[SweepTrial]:
    """Lists the trials of all points, each once, in the order of the points.

    With `branching` trunks come before their branches.

    Raises:
      InputError: if a point cannot be trained as it says.
    """
    by_name: dict[str, SweepTrial] = {}
    for point in self.points:
      trial = self._trial(point)
      by_name.setdefault(trial.trial.name, trial)
    found = list(by_name.values())
    return with_trunks(found) if self.branching else found

  def _trial(self, point: Point) -> SweepTrial:
    arm = point["arm"]
    design = self.arms[arm].design_of(point["size"])
    config = self.config.format(variant=design.variant)
    overrides = {
      **self.settings,
      **self.of_arms.get(arm, {}),
      **{name: value for name, value in point.items() if name not in _OWN},
      "data.image_size": design.image_size,
      "seed": point.get("seed", 0),
    }
    if design.fields:
      overrides["model.fields"] = design.fields
    setting = read_setting(Trial(config, overrides))
    unique = point.get("unique_images", setting.images)
    steps = _steps(point, setting, unique)
    epochs = steps / (unique // setting.batch_size)
    overrides |= {
      "epochs": epochs,
      "optimizer.warmup_epochs": self.warmup * epochs,
      "eval.every_epochs": epochs,
    }
    if "unique_images" in point:
      overrides["data.unique_images"] = unique
    cost = Cost(setting.model, steps * setting.batch_size, unique, setting.batch_size)
    return SweepTrial(Trial(config, overrides), point, cost)


def load_sweep(folder: pathlib.Path) -> Sweep:
  """Calls `get_sweep()` of a folder's `sweep.py`; raises `InputError` where there is none."""
  return load_definition(folder, "sweep", Sweep)


def _check(point: Point, arms: Mapping[str, SizeRule]) -> None:
  if missing := sorted({"arm", "size"} - set(point)):
    raise InputError(f"a point must have an arm and a size: {dict(point)} has no {missing[0]}.")
  if point["arm"] not in arms:
    raise unknown_name("arm", point["arm"], arms)
  if len(lengths := [name for name in LENGTHS if name in point]) != 1:
    raise InputError(
      f"a point must have one of {', '.join(LENGTHS)}: {dict(point)} has "
      f"{' and '.join(lengths) or 'none'}."
    )


def _steps(point: Point, setting: Setting, unique: int) -> int:
  """Returns the number of updates that a point asks for."""
  batch = setting.batch_size
  if not batch <= unique <= setting.images:
    raise InputError(
      f"`unique_images` must be at least a batch and at most the training split: expected "
      f"{batch:,} to {setting.images:,}, got {unique:,}."
    )
  if "flops" in point:
    seen = point["flops"] / train_flops(setting.model.macs, 1)
    tolerance = _MAX_ROUNDING
  else:
    seen = point.get("images_seen", point.get("passes", 0) * unique)
    tolerance = 1.0
  steps = round(seen / batch)
  if steps < 1 or abs(steps * batch - seen) > tolerance * seen:
    raise InputError(
      f"the length of a run must be at least a step, and spend a budget of FLOPs within "
      f"{_MAX_ROUNDING:.0%}: {dict(point)} asks for {seen:,.0f} images in batches of {batch:,}. "
      "Hint: train longer, or with a smaller batch."
    )
  return steps
