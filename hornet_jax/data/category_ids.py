"""A prepared dataset says which number each class has in the annotations that it was made of."""

import json
from collections.abc import Mapping, Sequence

from etils import epath

from hornet_jax.errors import InputError
from hornet_jax.files import retried

CATEGORIES = "categories.json"
"""The file beside those of the dataset: the name of a class -> its number."""


def categories_text(categories: Mapping[str, int]) -> str:
  """Returns the content of the file.

  Args:
    categories: name of each class, in the order of the labels -> its number.
  """
  return json.dumps(dict(categories), indent=2)


def read_category_ids(folder: epath.Path, class_names: Sequence[str]) -> tuple[int, ...]:
  """Reads the number of each class; empty where the dataset has no such file.

  Args:
    folder: folder of the dataset's files.
    class_names: names of its classes, in the order of the labels.

  Raises:
    InputError: if the file does not tell a number of each class.
  """
  file = folder / CATEGORIES
  if not retried(f"looking for {file}", file.exists):
    return ()
  text = retried(f"reading {file}", file.read_text)
  try:
    numbers = json.loads(text)
    return tuple(int(numbers[name]) for name in class_names)
  except (KeyError, TypeError, ValueError) as error:
    raise InputError(
      f"{file} must tell the number of each class: expected such as {{{class_names[0]!r}: 1}}, "
      f"got {text[:80]!r}. Hint: prepare the dataset again."
    ) from error
