"""Starting a run from a trained model."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from hornet_jax.convert.checkpoint import differences, listed
from hornet_jax.errors import InputError
from hornet_jax.models.global_filter import resize_filter
from hornet_jax.train.class_map import check_class_map, map_by_synset
from hornet_jax.train.weights import Trained

_NAMED = 5  # classes


def start_from(
  params: Mapping[str, Any],
  source: Trained,
  class_names: Sequence[str],
  class_map: np.ndarray | None = None,
) -> tuple[dict[str, Any], list[str]]:
  """Initial parameters of a run that starts from a trained model.

  Everything is taken over; spectral filters of another grid are resized. The head is taken
  over where the classes are the same, or class by class, as a map says or WordNet ids tell;
  what is not there stays as initialised.

  Source: official main.py, `--finetune`.

  Args:
    params: as initialised.
    source: what to start from.
    class_names: of the new run.
    class_map: for each class its number in the source, [K].

  Returns:
    The parameters, and what is new or changed in them, one line each.

  Raises:
    InputError: if a parameter is missing, left over or of another shape, of which the first
      few are named, or if the map does not fit.
  """
  wanted = traverse_util.flatten_dict(dict(params), sep="/")
  given = traverse_util.flatten_dict(source.params, sep="/")
  notes = []
  source_names = list(source.preprocessing.class_names)
  by = "the class map"
  if class_map is not None:
    check_class_map(class_map, len(class_names), len(source_names))
  elif list(class_names) != source_names:
    class_map, by = map_by_synset(class_names, source_names), "WordNet id"
  if class_map is not None:
    found = int(np.sum(class_map >= 0))
    notes.append(f"head: {found} of {source.model.num_classes} classes, by {by}")
    missing = [name for name, k in zip(class_names, class_map, strict=True) if k < 0]
    if missing:
      few = ", ".join(missing[:_NAMED])
      notes.append(f"head: {len(missing)} classes are not there and start anew: {few}, ...")
    for name in ("head/kernel", "head/bias"):
      given[name] = _columns(wanted[name], given[name], class_map)
  elif list(class_names) != source_names:
    notes.append("new head: the classes are others")
    given = {path: leaf for path, leaf in given.items() if not path.startswith("head/")}
    given |= {path: leaf for path, leaf in wanted.items() if path.startswith("head/")}
  for path in wanted.keys() & given.keys():
    leaf, shape = given[path], wanted[path].shape
    if leaf.shape != shape and path.rpartition("/")[2] in ("filter_re", "filter_im"):
      notes.append(f"{path} resized from {leaf.shape[:2]} to {shape[:2]}")
      given[path] = np.asarray(resize_filter(jnp.asarray(leaf), shape[:2]))
  problems = differences(params, traverse_util.unflatten_dict(given, sep="/"))
  if problems:
    raise InputError(
      f"`init.checkpoint` must hold the parameters of this model: {listed(problems)}. Hint: set "
      "`model` as that run had it."
    )
  in_order = {path: given[path] for path in wanted}
  return traverse_util.unflatten_dict(in_order, sep="/"), sorted(notes)


def _columns(wanted: Any, given: np.ndarray, class_map: np.ndarray) -> Any:
  """The source's columns of a head; as wanted, concrete or abstract, where there is none."""
  found = class_map >= 0
  if found.all():
    return given[..., class_map]
  if isinstance(wanted, jax.ShapeDtypeStruct):
    return wanted
  columns = np.array(wanted)
  columns[..., found] = given[..., class_map[found]]
  return columns
