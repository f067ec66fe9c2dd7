"""A run of any task starts from weights of its own task, of a classifier or of a backbone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flax import traverse_util

from hornet_jax.convert.converted import NO_TASK, differences, listed
from hornet_jax.errors import InputError, MismatchError
from hornet_jax.models import Architecture
from hornet_jax.pretrained.initialize import initialize_from
from hornet_jax.pretrained.spec import CLASSIFICATION, Weights

_BACKBONE, _HEAD = "backbone/", "head/"

_Flat = dict[str, Any]


def start_from(
  model: Architecture,
  variables: Mapping[str, Any],
  task: str,
  weights: Weights,
  class_names: Sequence[str],
  class_map: np.ndarray | None = None,
) -> tuple[dict[str, Any], list[str]]:
  """Takes the initial variables of a run from trained weights.

  Of weights of the same task all is taken, see `initialize_from`, except that a part of the head,
  such as an auxiliary head, may be on one side only: it starts anew, or is left out. Of a
  classifier the backbone is taken, and all that the task puts on it starts anew. Collections such
  as batch statistics come with the parameters that they belong to.

  Args:
    model: model that the run trains.
    variables: its initial parameters and other collections, blocks apart; values of what the task
      puts on the backbone are used.
    task: name of the run's task.
    weights: trained weights.
    class_names: names of the run's K classes.
    class_map: number of each of the run's classes in the source, int [K]; None to go by names.

  Returns:
    The variables, and a list of lines that tell what in them is new or changed.

  Raises:
    MismatchError: if the weights do not fit.
    InputError: if they are of another task, or the map does not fit.
  """
  spec = weights.spec
  _check_task(task, spec.task, class_map)
  wanted = {name: _flat(tree) for name, tree in variables.items()}
  given = {name: _flat(tree) for name, tree in weights.variables.items()}
  source_names = spec.class_names
  new: set[str] = set()
  notes = []
  if task != CLASSIFICATION:
    if spec.task == CLASSIFICATION:
      given = _for_backbone(model, wanted["params"], given)
    if spec.task != task:
      source_names = class_names  # no head of the source is left to compare them with
    new = _parts(wanted["params"]) - _parts(given["params"])
    left_out = _parts(given["params"]) - _parts(wanted["params"])
    given = {name: _without(left_out, flat) for name, flat in given.items()}
    if new:
      missing = "no head of this task" if spec.task != task else "none"
      notes.append(f"new {_in_words(new)}: the source has {missing}")
    if left_out:
      notes.append(f"left out {_in_words(left_out)} of the source: the run has none")
  kept = {name: _without(new, flat) for name, flat in wanted.items()}
  params, changes = initialize_from(
    model, _nested(kept["params"]), _nested(given["params"]), source_names, class_names, class_map
  )
  taken = {**given, "params": _flat(params)}
  problems = [
    f"{name}/{problem}"
    for name in sorted(kept.keys() | given.keys())
    for problem in differences(_nested(kept.get(name, {})), _nested(taken.get(name, {})))
  ]
  if problems:
    raise MismatchError(
      f"`init.checkpoint` must hold the variables of this model: {listed(problems)}. Hint: set "
      "`model`, and what its task builds, as that run had it.",
      problems,
    )
  whole = {
    name: _nested({path: taken[name][path] if path in kept[name] else flat[path] for path in flat})
    for name, flat in wanted.items()
  }
  return whole, [*notes, *changes]


def _check_task(task: str, given: str, class_map: np.ndarray | None) -> None:
  """Raises `InputError` where a run of a task cannot start from weights of another one."""
  allowed = {task} if task == CLASSIFICATION else {task, CLASSIFICATION, NO_TASK}
  if given not in allowed:
    known = "a classifier" if task == CLASSIFICATION else f"task {task}, or of a classifier"
    got = f"task {given}" if given else "a backbone and the norms of its levels"
    raise InputError(
      f"`init.checkpoint` must hold weights that the run can start from: expected those of {known}"
      f", got those of {got}."
    )
  if class_map is not None and given != task:
    raise InputError(
      f"`init.class_map` must come with weights of task {task}: expected such in "
      "`init.checkpoint`, got weights without a head for it. Hint: leave it empty; the head is new."
    )


def _for_backbone(
  model: Architecture, wanted: _Flat, given: Mapping[str, _Flat]
) -> dict[str, _Flat]:
  """Takes a classifier's variables for those of a backbone, which ends with its last stage."""
  found = {
    name: {f"{_BACKBONE}{path}": leaf for path, leaf in flat.items()}
    for name, flat in given.items()
  }
  staged = any(model.param_info(path).stage is not None for path in wanted)

  def is_behind(path: str) -> bool:
    info = model.param_info(path)
    return info.head or (staged and info.stage is None)

  params = found["params"]
  found["params"] = {p: leaf for p, leaf in params.items() if p in wanted or not is_behind(p)}
  return found


def _parts(flat: _Flat) -> set[str]:
  """Lists the parts of a head, such as `head/auxiliary`."""
  return {part for path in flat if (part := _part(path))}


def _part(path: str) -> str:
  """Names the part of a head that a path lies in; empty for the backbone."""
  return "/".join(path.split("/")[:2]) if path.startswith(_HEAD) else ""


def _without(parts: set[str], flat: _Flat) -> _Flat:
  return {path: leaf for path, leaf in flat.items() if _part(path) not in parts}


def _in_words(parts: set[str]) -> str:
  *others, last = sorted(parts)
  return f"{', '.join(others)} and {last}" if others else last


def _flat(tree: Mapping[str, Any]) -> _Flat:
  return traverse_util.flatten_dict(dict(tree), sep="/")


def _nested(flat: _Flat) -> dict[str, Any]:
  return traverse_util.unflatten_dict(flat, sep="/")
