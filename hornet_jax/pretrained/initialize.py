"""This module takes parameters of a trained model for a run with other classes or images."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from hornet_jax.convert.converted import differences, listed
from hornet_jax.errors import MismatchError
from hornet_jax.models import Architecture, adapt_stem
from hornet_jax.models.param_info import ParamInfo, Role
from hornet_jax.pretrained.class_map import check_class_map, map_by_name

_NAMED = 5  # classes


def initialize_from(
  model: Architecture,
  params: Mapping[str, Any],
  source: Mapping[str, Any],
  source_names: Sequence[str],
  class_names: Sequence[str],
  class_map: np.ndarray | None = None,
) -> tuple[dict[str, Any], list[str]]:
  """Takes the initial parameters of a run from a trained model of the same task.

  Parameters that depend on the image size are adapted to the run's, and a stem to its channels.
  Layers that make classes are taken over where the classes are the same, or else class by class,
  by `class_map` or by their names; classes that the source does not have keep their initial values,
  as do all of them if no class is known.

  Source: official main.py, `--finetune`.

  Args:
    model: model that the run trains.
    params: initial parameters of that model, blocks apart; only values of layers that make classes
      are used.
    source: parameters of the trained model to start from, blocks apart.
    source_names: names of its classes.
    class_names: names of the run's K classes.
    class_map: number of each of the run's classes in the source, int [K]; None to go by names.

  Returns:
    The parameters, and a list of lines that tell what in them is new or changed.

  Raises:
    MismatchError: if a parameter is missing, left over or of another shape; the first few are
      named.
    InputError: if the map does not fit.
  """
  wanted = traverse_util.flatten_dict(dict(params), sep="/")
  given = traverse_util.flatten_dict(dict(source), sep="/")
  notes = []
  source_names = list(source_names)
  by = "the class map"
  if class_map is not None:
    check_class_map(class_map, len(class_names), len(source_names))
  elif list(class_names) != source_names:
    class_map, by = map_by_name(class_names, source_names) or (None, "")
  heads = [path for path in wanted if model.param_info(path).head]
  if class_map is not None:
    found = int(np.sum(class_map >= 0))
    notes.append(f"head: {found} of {len(source_names)} classes, by {by}")
    missing = [name for name, k in zip(class_names, class_map, strict=True) if k < 0]
    if missing:
      few = ", ".join(missing[:_NAMED])
      more = ", ..." if missing[_NAMED:] else ""
      notes.append(f"head: {len(missing)} classes are not there and start anew: {few}{more}")
    for path in heads:
      if path in given:  # else it is named below
        info, count = model.param_info(path), len(source_names)
        given[path] = _columns(info, wanted[path], given[path], class_map, count)
  elif list(class_names) != source_names:
    notes.append("new head: the classes are others")
    given |= {path: wanted[path] for path in heads}
  for path in wanted.keys() & given.keys():
    leaf, shape = given[path], wanted[path].shape
    if model.param_info(path).role is Role.STEM and leaf.shape != shape:
      given[path] = np.asarray(adapt_stem(leaf, shape[-2]), np.float32)
      notes.append(f"{path}: kernels for {leaf.shape[-2]} channels make those for {shape[-2]}")
      leaf = given[path]
    if leaf.shape != shape:
      given[path] = np.asarray(model.adapt(path, leaf, shape))
      if given[path].shape != leaf.shape:
        notes.append(f"{path} resized from {leaf.shape} to {given[path].shape}")
  problems = differences(params, traverse_util.unflatten_dict(given, sep="/"))
  if problems:
    raise MismatchError(
      f"`init.checkpoint` must hold the parameters of this model: {listed(problems)}. Hint: set "
      "`model`, and what its task builds, as that run had it; what depends on the size of images "
      f"is resized by {type(model).__name__}.adapt.",
      problems,
    )
  in_order = {path: given[path] for path in wanted}
  return traverse_util.unflatten_dict(in_order, sep="/"), sorted(notes)


def _columns(
  info: ParamInfo, wanted: Any, given: np.ndarray, class_map: np.ndarray, count: int
) -> Any:
  """Takes a head's columns from `given` by the class map, from `wanted` where the map has none.

  Args:
    info: what the parameter is.
    wanted: initial values of the run's K classes.
    given: those of the source.
    class_map: number of each of the run's classes in the source, int [K]; -1 for none.
    count: number of classes of the source.
  """
  if given.shape[-1] != len(info.columns_of(range(count), count)):
    return given  # of a shape that is named below
  numbers = np.flatnonzero(class_map >= 0)
  taken = given[..., info.columns_of(class_map[numbers].tolist(), count)]
  if len(numbers) == len(class_map):
    return taken
  if isinstance(wanted, jax.ShapeDtypeStruct):
    return wanted
  columns = np.array(wanted)
  columns[..., info.columns_of(numbers.tolist(), len(class_map))] = taken
  return columns
