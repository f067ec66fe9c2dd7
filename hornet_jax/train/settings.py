"""The range of every number in a config, and the choices of a name that nothing else checks."""

import math
import operator
from collections.abc import Mapping
from typing import Any

from hornet_jax.errors import InputError, unknown_name
from hornet_jax.train.workdir import flatten

_POSITIVE = [(operator.gt, 0)]
_NOT_NEGATIVE = [(operator.ge, 0)]
_AT_LEAST_ONE = [(operator.ge, 1)]
_FRACTION = [(operator.ge, 0), (operator.lt, 1)]
_PROBABILITY = [(operator.ge, 0), (operator.le, 1)]
_RANGES = {
  "seed": _NOT_NEGATIVE,
  "epochs": _POSITIVE,
  "mesh.fsdp": _AT_LEAST_ONE,
  "model.patch_size": _AT_LEAST_ONE,
  "model.drop_path_rate": _FRACTION,
  "data.image_size": _AT_LEAST_ONE,
  "data.batch_size": _AT_LEAST_ONE,
  "data.eval_batch_size": _AT_LEAST_ONE,
  "data.crop_padding": _NOT_NEGATIVE,
  "data.flip_rate": _PROBABILITY,
  "data.erasing_rate": _FRACTION,
  "data.eval_crop_fraction": [(operator.gt, 0), (operator.le, 1)],
  "data.num_processes": _NOT_NEGATIVE,
  "data.num_threads": _AT_LEAST_ONE,
  "data.max_undecodable": _NOT_NEGATIVE,
  "data.stall_seconds": _NOT_NEGATIVE,
  "mix.mixup_alpha": _NOT_NEGATIVE,
  "mix.cutmix_alpha": _NOT_NEGATIVE,
  "mix.rate": _PROBABILITY,
  "mix.switch_rate": _PROBABILITY,
  "mix.group_size": _AT_LEAST_ONE,
  "optimizer.learning_rate": _POSITIVE,
  "optimizer.final_learning_rate": _NOT_NEGATIVE,
  "optimizer.warmup_epochs": _NOT_NEGATIVE,
  "optimizer.weight_decay": _NOT_NEGATIVE,
  "optimizer.b1": _FRACTION,
  "optimizer.b2": _FRACTION,
  "optimizer.eps": _POSITIVE,
  "optimizer.clip_norm": _NOT_NEGATIVE,
  "optimizer.layer_decay": [(operator.gt, 0), (operator.le, 1)],
  "optimizer.accumulation_steps": _AT_LEAST_ONE,
  "optimizer.max_skipped_steps": _AT_LEAST_ONE,
  "optimizer.max_rollbacks": _NOT_NEGATIVE,
  "loss.label_smoothing": _FRACTION,
  "ema.decay": _FRACTION,
  "ema.reference_steps": _NOT_NEGATIVE,
  "log.every_steps": _AT_LEAST_ONE,
  "log.profile_steps": _NOT_NEGATIVE,
  "eval.every_epochs": _POSITIVE,
  "checkpoint.every_steps": _AT_LEAST_ONE,
  "checkpoint.keep": _AT_LEAST_ONE,
  "checkpoint.keep_best": _NOT_NEGATIVE,
}
_CHOICES = {"checkpoint.on_full_disk": ("stop", "continue")}
_SIGNS = {operator.gt: ">", operator.ge: ">=", operator.lt: "<", operator.le: "<="}


def check_ranges(config: Mapping[str, Any]) -> None:
  """Raises `InputError` for the first number or name that is out of its range.

  Args:
    config: nested, with the keys of configs/common.py.
  """
  values = flatten(config)
  missing = sorted(_RANGES.keys() - values.keys())
  if missing:
    raise InputError(
      f"`config` must have the keys of configs/common.py: missing {', '.join(missing)}."
    )
  for key, bounds in _RANGES.items():
    finite = math.isfinite(values[key])
    if not finite or not all(holds(values[key], bound) for holds, bound in bounds):
      wanted = " and ".join(f"{_SIGNS[holds]} {bound}" for holds, bound in bounds)
      raise InputError(f"`{key}` must be {wanted}: got {values[key]}.")
  for key in ("data.crop_scale", "data.crop_aspect"):
    if len(values[key]) != 2 or not 0 < values[key][0] <= values[key][1]:
      raise InputError(
        f"`{key}` must be a smallest and a largest value: expected 0 < a <= b, got {values[key]}."
      )
  if values["data.crop_scale"][1] > 1:
    raise InputError(f"`data.crop_scale` must not exceed 1: got {values['data.crop_scale']}.")
  mean, std = values["data.mean"], values["data.std"]
  if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
    raise InputError(
      "`data.mean` and `data.std` must have one number a channel: expected 3 each, std > 0, "
      f"got {mean} and {std}."
    )
  for key, choices in _CHOICES.items():
    if key in values and values[key] not in choices:  # a run of before may lack it
      raise unknown_name(f"`{key}`", values[key], choices)
  if values["optimizer.warmup_epochs"] >= values["epochs"]:
    raise InputError(
      "`optimizer.warmup_epochs` must be less than `epochs`: expected less than "
      f"{values['epochs']}, got {values['optimizer.warmup_epochs']}."
    )
