"""A study holds designs against each other under one recipe; its file says which and how."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from hornet_jax.errors import InputError, unknown_name
from hornet_jax.studies.definition import load_definition
from hornet_jax.studies.trial import Trial


@dataclasses.dataclass(frozen=True)
class Arm:
  """An `Arm` is one of the designs.

  Attributes:
    variant: name of the model.
    fields: fields in which it differs from the variant, as `model.fields` has them.
    family: name of the family whose learning rate it takes.
  """

  variant: str
  fields: str = ""
  family: str = ""


@dataclasses.dataclass(frozen=True)
class Study:
  """A `Study` trains every arm with every seed, each at the best learning rate of its family.

  The learning rate of a family is chosen with one arm of it, by `tuning`, which is to keep the
  images of the final evaluation out; where the best is the first or the last of `learning_rates`,
  further ones are tried beyond.

  Attributes:
    config: config file, with `{variant}` in its argument.
    arms: name -> design, in the order in which they are shown.
    families: name -> name of the arm with which its learning rate is chosen.
    learning_rates: learning rates to choose from, ascending.
    tuning: overrides of the config while the learning rate is chosen.
    settings: overrides of the config for all trials.
    seeds: seeds that every arm is trained with.
  """

  config: str
  arms: Mapping[str, Arm]
  families: Mapping[str, str]
  learning_rates: Sequence[float]
  tuning: Mapping[str, Any]
  settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  seeds: Sequence[int] = (0, 1, 2)

  def __post_init__(self) -> None:
    """Raises `InputError` where a name is used that is not there."""
    for name, arm in self.arms.items():
      if arm.family not in self.families:
        raise unknown_name(f"family of the arm {name!r}", arm.family, self.families)
    for family, chosen in self.families.items():
      if chosen not in self.arms:
        raise unknown_name(f"arm of the family {family!r}", chosen, self.arms)
    if len(self.learning_rates) < 2 or sorted(self.learning_rates) != list(self.learning_rates):
      raise InputError(
        "`learning_rates` must be at least two, ascending: got "
        f"{', '.join(f'{rate:g}' for rate in self.learning_rates)}."
      )

  def tuning_trial(self, family: str, learning_rate: float) -> Trial:
    """Gives the trial that tells how good a learning rate is for a family."""
    return self._trial(self.arms[self.families[family]], learning_rate, self.seeds[0], self.tuning)

  def trial(self, arm: str, learning_rate: float, seed: int) -> Trial:
    """Gives the trial of an arm with one seed."""
    return self._trial(self.arms[arm], learning_rate, seed, {})

  def _trial(self, arm: Arm, learning_rate: float, seed: int, further: Mapping[str, Any]) -> Trial:
    overrides = {**self.settings, **further}
    overrides |= {"optimizer.learning_rate": learning_rate, "seed": seed}
    if arm.fields:
      overrides["model.fields"] = arm.fields
    return Trial(self.config.format(variant=arm.variant), overrides)


def load_study(folder: pathlib.Path) -> Study:
  """Calls `get_study()` of a folder's `study.py`; raises `InputError` where there is none."""
  return load_definition(folder, "study", Study)
