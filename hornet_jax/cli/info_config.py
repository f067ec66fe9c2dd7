"""What `info --config` prints: every key of a config, what follows from it, the official run."""

import json
from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

from hornet_jax.config.check import check_config
from hornet_jax.config.fit import fit
from hornet_jax.config.flat import flatten
from hornet_jax.config.official_recipes import find_recipe
from hornet_jax.config.recipe import Recipe, compare
from hornet_jax.config.schema import keys_read
from hornet_jax.data.datasets import find_image_info
from hornet_jax.data.training_split import training_size
from hornet_jax.errors import InputError

_WIDTH = 50  # of a meaning


def describe_config(config: Mapping[str, Any], as_json: bool) -> str:
  """Describes a config, without keys that other tasks alone read.

  Args:
    config: nested, with the keys of `config.schema`.
    as_json: whether a program reads it.

  Raises:
    InputError: if a value is out of its range.
  """
  check_config(config)
  recipe = find_recipe(config)
  data = config["data"]
  try:
    num_examples, _ = training_size(data)
  except InputError as error:
    steps, missing = {}, str(error)
  else:
    image_info = find_image_info(data["dataset"], data["data_dir"])
    config, _ = fit(config, num_examples, image_info)
    steps, missing = _steps(config, num_examples), ""
  official = {row[0]: row for row in compare(config, recipe)} if recipe else {}
  if as_json:
    read = keys_read(config["task"])
    rows = [
      {"key": key, "config": value}
      | ({"official": official[key][2], "equal": official[key][3]} if key in official else {})
      for key, value in flatten(config).items()
      if key in read
    ]
    return json.dumps({"keys": rows, "steps": steps}, indent=2)
  return "\n\n".join(
    filter(None, [_keys(config, official), _derived(steps, missing), _note(recipe)])
  )


def _steps(config: Mapping[str, Any], num_examples: int) -> dict[str, int]:
  """Derives the lengths that a run counts in steps."""
  steps_per_epoch = num_examples // config["data"]["batch_size"]
  return {
    "images of the training split": num_examples,
    "steps an epoch": steps_per_epoch,
    "steps": int(round(config["epochs"] * steps_per_epoch, 6)),
    "steps of warm-up": round(config["optimizer"]["warmup_epochs"] * steps_per_epoch),
    "steps between evaluations": max(round(config["eval"]["every_epochs"] * steps_per_epoch), 1),
  }


def _keys(config: Mapping[str, Any], official: Mapping[str, Any]) -> str:
  rows = []
  values = flatten(config)
  for key, described in keys_read(config["task"]).items():
    row = [key, values[key]]
    if official:
      known = official.get(key)
      row += [known[2], "" if known[3] else "deviates"] if known else ["", ""]
    rows.append([*row, described.description])
  headers = ["key", "config", *(["official", ""] if official else []), "meaning"]
  widths = [None] * (len(headers) - 1) + [_WIDTH]
  return tabulate(rows, headers=headers, disable_numparse=True, maxcolwidths=widths)


def _derived(steps: Mapping[str, int], missing: str) -> str:
  if missing:
    return f"steps are not known: {missing}"
  return tabulate([[name, f"{count:,}"] for name, count in steps.items()], tablefmt="plain")


def _note(recipe: Recipe | None) -> str:
  if recipe is None:
    return ""
  always = [f"- {deviation}" for deviation in recipe.deviations]
  title = f"official: {recipe.variant} on {recipe.dataset}. In every run of ours:"
  return "\n".join([title, *always])
