"""Trials that are one run but for its length begin with the steps of the longest, their trunk.

A run with a constant learning rate does not know its length before it cools down. So the trunk
trains, and pays for, the first steps of all shorter ones; see `hornet_jax.train.branch`.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from hornet_jax.config.check import check_config
from hornet_jax.config.flat import nest
from hornet_jax.config.length import cool_down_start
from hornet_jax.errors import InputError
from hornet_jax.studies.trial import Trial
from hornet_jax.sweeps.sweep_trial import BranchPoint, SweepTrial

_OF_LENGTH = ("epochs", "optimizer.warmup_epochs", "eval.every_epochs")
"""Settings that follow from the length of a run."""


def with_trunks(trials: Sequence[SweepTrial]) -> list[SweepTrial]:
  """Lets shorter trials branch off from the longest one that has the same settings but for length.

  The learning rate grows for as many steps in all of them: those of the shortest. Trunks come
  first, the longest of them before the others, then the branches.

  Args:
    trials: trials as they would be without branches, each once.

  Raises:
    InputError: if the settings do not let runs branch off, or the shortest one would cool down
      before its learning rate has grown.
  """
  groups: dict[str, list[SweepTrial]] = {}
  for trial in trials:
    groups.setdefault(_same_run(trial), []).append(trial)
  trunks, branches = [], []
  for group in groups.values():
    trunk, *others = _branched(group)
    trunks.append(trunk)
    branches += others
  trunks.sort(key=lambda trial: -trial.cost.flops)
  return [*trunks, *branches]


def _same_run(trial: SweepTrial) -> str:
  """Describes all settings of a trial but those of its length."""
  settings = trial.trial.settings
  return json.dumps({k: v for k, v in settings.items() if k not in _OF_LENGTH}, sort_keys=True)


def _branched(group: Sequence[SweepTrial]) -> list[SweepTrial]:
  """Gives the trunk of some trials, then its branches, the longest first."""
  longest, *others = sorted(group, key=lambda trial: -trial.cost.images_seen)
  shortest = others[-1] if others else longest
  warmup = {"optimizer.warmup_epochs": shortest.trial.settings["optimizer.warmup_epochs"]}
  lengths = [trial.trial.settings["epochs"] for trial in reversed(others)]
  trunk = _changed(longest, warmup | {"checkpoint.branch_epochs": lengths} if others else warmup)
  _check(trunk, shortest)
  found = [trunk]
  for trial in others:
    branch = _changed(trial, warmup)
    point = BranchPoint(trunk.trial.name, _cool_down_start(trial))
    found.append(dataclasses.replace(branch, trunk=point))
  return found


def _changed(trial: SweepTrial, settings: dict[str, Any]) -> SweepTrial:
  changed = Trial(trial.trial.config, {**trial.trial.overrides, **settings})
  return dataclasses.replace(trial, trial=changed)


def _cool_down_start(trial: SweepTrial) -> int:
  """Gives the number of steps after which a trial begins to cool down."""
  return cool_down_start(trial.cost.steps, trial.trial.settings["optimizer.decay_fraction"])


def _check(trunk: SweepTrial, shortest: SweepTrial) -> None:
  settings = trunk.trial.settings
  if settings["optimizer.schedule"] != "warmup_stable_decay":
    raise InputError(
      "`branching` must come with optimizer.schedule warmup_stable_decay: got "
      f"{settings['optimizer.schedule']}, whose first steps depend on the length. Hint: "
      '`settings={"optimizer.schedule": "warmup_stable_decay", "ema.reference_steps": 0, '
      '"ema.decay": 0.99}`.'
    )
  check_config(nest(settings))
  grown = settings["optimizer.warmup_epochs"] * shortest.cost.steps_per_epoch
  begin = _cool_down_start(shortest)
  if begin < max(1, round(grown)):
    raise InputError(
      "`branching` needs runs that cool down after their learning rate has grown: "
      f"{shortest.label} would after step {begin} of {shortest.cost.steps}, and grows for "
      f"{grown:.3g}. Hint: a smaller `warmup` or optimizer.decay_fraction, or no run as short."
    )
