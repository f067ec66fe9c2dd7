"""What a sweep takes on TPUs, by planning each of its models once."""

import json
from collections.abc import Callable, Sequence

from hornet_jax.config.flat import nest
from hornet_jax.cost.estimate import Range
from hornet_jax.cost.hardware import Topology
from hornet_jax.cost.plan import Limits, Plan, make_plan, make_scenario
from hornet_jax.data.datasets import training_size
from hornet_jax.sweeps.sweep import SweepTrial

_LENGTH = ("epochs", "seed", "optimizer.warmup_epochs", "eval.every_epochs", "data.unique_images")
_SECONDS_PER_HOUR = 3600


def chip_hours(
  trials: Sequence[SweepTrial],
  topology: Topology,
  limits: Limits,
  tell: Callable[[str], None],
) -> list[Range | None]:
  """Estimates the chip-hours of each trial; None where its program does not fit a chip.

  Args:
    trials: trials; those that differ in length alone are compiled once.
    topology: slice of TPU chips.
    limits: extent and time of the compilation.
    tell: function that prints a line.

  Raises:
    InputError: if a config does not suit the devices, the compiler is missing or too slow.
  """
  plans: dict[str, Plan] = {}
  found: list[Range | None] = []
  for trial in trials:
    settings = {k: v for k, v in trial.trial.settings.items() if k not in _LENGTH}
    program = json.dumps(settings, sort_keys=True)
    if program not in plans:
      tell(f"planning {trial.label}")
      plans[program] = _plan(trial, topology, limits)
    plan = plans[program]
    steps = trial.cost.images_seen / trial.trial.settings["data.batch_size"]
    hours = steps * topology.num_chips / _SECONDS_PER_HOUR
    found.append(plan.step.seconds.times(hours) if plan.fits and plan.step else None)
  return found


def _plan(trial: SweepTrial, topology: Topology, limits: Limits) -> Plan:
  config = nest(trial.trial.settings)
  data = config["data"]
  images, num_classes = training_size(data["dataset"], data["train_split"], data["data_dir"])
  return make_plan(make_scenario(config, topology), num_classes, images, limits, lambda *_: None)
