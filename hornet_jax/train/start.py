"""Starting a run from a trained model."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from hornet_jax.convert.checkpoint import differences, listed
from hornet_jax.convert.torch_file import read_torch_file
from hornet_jax.errors import InputError
from hornet_jax.models.global_filter import resize_filter
from hornet_jax.train.weights import Trained


def start_from(
  params: Mapping[str, Any],
  source: Trained,
  class_names: Sequence[str],
  class_map: np.ndarray | None = None,
) -> tuple[dict[str, Any], list[str]]:
  """Initial parameters of a run that starts from a trained model.

  Everything is taken over; spectral filters of another grid are resized. The head is taken
  over where the classes are the same, or class by class where a map says which; else it
  stays as initialised.

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
  if class_map is not None:
    _check_map(class_map, len(class_names), len(source.preprocessing.class_names))
    notes.append(f"head: {len(class_map)} of {source.model.num_classes} classes, by the class map")
    given |= {name: given[name][..., class_map] for name in ("head/kernel", "head/bias")}
  elif list(class_names) != list(source.preprocessing.class_names):
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


def _check_map(class_map: np.ndarray, num_classes: int, source_classes: int) -> None:
  problem = ""
  if len(class_map) != num_classes:
    problem = f"got {len(class_map)}"
  elif not ((class_map >= 0) & (class_map < source_classes)).all():
    problem = f"got {class_map.min()} to {class_map.max()}"
  elif len(set(class_map.tolist())) < len(class_map):
    problem = "got some twice"
  if problem:
    raise InputError(
      f"`init.class_map` must name a class of the source for each class: expected {num_classes} "
      f"different numbers below {source_classes}, {problem}."
    )


def read_class_map(path: str) -> np.ndarray:
  """A list of class numbers, int64 [K].

  Args:
    path: of a `.npy` file, of a text file with one number a line, or of a tensor in a
      `.pth`, such as the official in1k_to_21k_map.pth.

  Raises:
    InputError: if it is none of them.
  """
  file = pathlib.Path(path)
  try:
    if file.suffix in (".pth", ".pt"):
      numbers = read_torch_file(file, lambda content: {"map": content})["map"]
    elif file.suffix == ".npy":
      numbers = np.load(file, allow_pickle=False)
    else:
      numbers = np.loadtxt(file, np.int64, ndmin=1)
  except (OSError, KeyError, ValueError) as error:
    raise InputError(f"`init.class_map`: {file} must be a list of integers: {error}.") from error
  if numbers.ndim != 1 or not np.issubdtype(numbers.dtype, np.integer):
    raise InputError(
      f"`init.class_map`: {file} must be a list of integers: got {numbers.dtype} {numbers.shape}."
    )
  return numbers.astype(np.int64)
