"""Trials that may not begin yet are kept beside the queue: nobody can take them from there."""

from collections.abc import Mapping
from typing import Any

import optuna

Attributes = Mapping[str, Any]
_PREFIX = "held:"  # of the names of the study's attributes


class Held:
  """A `Held` keeps trials in the attributes of an Optuna study, which all workers see."""

  def __init__(self, study: optuna.Study):
    """Keeps them in a study."""
    self._study = study

  def put(self, trials: Mapping[str, Attributes]) -> int:
    """Keeps trials, or changes what is known of them; returns how many were not there.

    Args:
      trials: hash of a trial -> what a worker needs of it, of JSON types.
    """
    there = self.all()
    for name, attributes in trials.items():
      if there.get(name) != attributes:
        self._study.set_user_attr(f"{_PREFIX}{name}", dict(attributes))
    return len(set(trials) - set(there))

  def all(self) -> dict[str, Attributes]:
    """Gives all trials that were ever kept, by their hashes."""
    return {
      name.removeprefix(_PREFIX): attributes
      for name, attributes in self._study.user_attrs.items()
      if name.startswith(_PREFIX)
    }
