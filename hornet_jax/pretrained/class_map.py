"""A class map tells which output of a trained head stands for which class of another dataset."""

import collections
import pathlib
import re
from collections.abc import Sequence

import numpy as np

from hornet_jax.convert.torch_file import read_torch_file
from hornet_jax.errors import InputError

_SYNSET = re.compile(r"n\d{8}")


def map_by_name(
  class_names: Sequence[str], source_names: Sequence[str]
) -> tuple[np.ndarray, str] | None:
  """Finds the number of each class among the classes of a trained head, by what they are called.

  Args:
    class_names: names of the K classes, in the order of the labels.
    source_names: names of the head's classes, in the order of its logits.

  Returns:
    Class map, int64 [K], -1 for a class that the head does not have, or has twice, and what the
    classes were found by: WordNet ids where all are such. None where it has none of them, or a name
    is a number, which may mean anything.
  """
  counts = collections.Counter(source_names)
  numbers = {name: k for k, name in enumerate(source_names) if counts[name] == 1}
  found = np.array([numbers.get(name, -1) for name in class_names], np.int64)
  if any(name.isdecimal() for name in class_names) or not (found >= 0).any():
    return None
  by_id = all(_SYNSET.fullmatch(name) for name in class_names)
  return found, "WordNet id" if by_id else "name"


def check_class_map(class_map: np.ndarray, num_classes: int, source_classes: int) -> None:
  """Raises `InputError` unless the map has a different class of the head for each class.

  Args:
    class_map: number of each class in the head, int [K].
    num_classes: number of classes K that is expected.
    source_classes: number of classes of the head.
  """
  problem = ""
  if len(class_map) != num_classes:
    problem = f"got {len(class_map)}"
  elif not ((class_map >= 0) & (class_map < source_classes)).all():
    problem = f"got {class_map.min()} to {class_map.max()}"
  elif len(set(class_map.tolist())) < len(class_map):
    problem = "got some twice"
  if problem:
    raise InputError(
      f"the class map must name a class of the source for each class: expected {num_classes} "
      f"different numbers below {source_classes}, {problem}."
    )


def read_class_map(path: str) -> np.ndarray:
  """Reads a class map from a file: the number of each class in a trained head, int64 [K].

  Args:
    path: path of a `.npy` file, of a text file with one number a line, or of a `.pth` file with
      one tensor, such as the official in1k_to_21k_map.pth.

  Raises:
    InputError: if the file holds no list of integers.
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
    raise InputError(f"class map {file} must be a list of integers: {error}.") from error
  if numbers.ndim != 1 or not np.issubdtype(numbers.dtype, np.integer):
    raise InputError(
      f"class map {file} must be a list of integers: got {numbers.dtype} {numbers.shape}."
    )
  return numbers.astype(np.int64)
