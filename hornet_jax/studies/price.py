"""What trials take on TPUs, by planning each of their programs once."""

import json
import math
from collections.abc import Callable, Sequence

from hornet_jax.config.flat import nest
from hornet_jax.cost.estimate import Range
from hornet_jax.cost.hardware import Topology
from hornet_jax.cost.plan import Limits, Plan, make_plan, make_scenario
from hornet_jax.data.training_split import training_size
from hornet_jax.studies.trial import Trial

# What changes how long a run is, or its numbers, and not the program of a step.
_NOT_THE_PROGRAM = {
  *("epochs", "seed", "eval.every_epochs", "data.eval_split", "data.unique_images"),
  "checkpoint.branch_epochs",
  *("optimizer.learning_rate", "optimizer.warmup_epochs"),
}
_SECONDS_PER_HOUR = 3600


def chip_hours(
  trials: Sequence[tuple[str, Trial]],
  topology: Topology,
  limits: Limits,
  tell: Callable[[str], None],
) -> list[Range | None]:
  """Estimates the chip-hours of each trial; None where a chip has no memory for its program.

  Args:
    trials: trials with what they are called; those of one program are compiled once.
    topology: slice of TPU chips.
    limits: extent and time of the compilation.
    tell: function that prints a line.

  Raises:
    InputError: if a config does not suit the devices, or the compiler is missing or too slow.
  """
  plans: dict[str, Plan] = {}
  found: list[Range | None] = []
  for label, trial in trials:
    settings = {k: v for k, v in trial.settings.items() if k not in _NOT_THE_PROGRAM}
    program = json.dumps(settings, sort_keys=True)
    config = nest(trial.settings)
    data = config["data"]
    images, num_classes = training_size(data)
    if program not in plans:
      tell(f"planning {label} ...")
      scenario = make_scenario(config, topology)
      plans[program] = make_plan(scenario, num_classes, images, limits, lambda *_: None)
    plan = plans[program]
    steps = math.floor(round(config["epochs"] * (images // data["batch_size"]), 6))
    hours = steps * topology.num_chips / _SECONDS_PER_HOUR
    found.append(plan.step.seconds.times(hours) if plan.fits and plan.step else None)
  return found


def describe_hours(hours: Range | None) -> str:
  """Writes the chip-hours of a trial, as far as they are known."""
  if hours is None:
    return "too large for a chip"
  if math.isinf(hours.high):  # no compile of such a model was finished to count cycles in
    return f"at least {hours.low:,.3g} chip-hours"
  return f"{hours.low:,.3g} to {hours.high:,.3g} chip-hours"


def describe_total(hours: Sequence[Range | None], topology: str) -> str:
  """Writes the sum of chip-hours, and how many trials are left out of it.

  Args:
    hours: what `chip_hours` returned.
    topology: name of the slice.
  """
  fitting = [of_trial for of_trial in hours if of_trial]
  total = Range(sum(h.low for h in fitting), sum(h.high for h in fitting))
  text = f"{describe_hours(total)} on {topology}"
  left_out = len(hours) - len(fitting)
  return f"{text}, {left_out} left out for want of memory" if left_out else text
