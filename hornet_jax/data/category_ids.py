"""A prepared dataset says which number each class has in the annotations that it was made of."""

import json
from collections.abc import Mapping

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


def read_category_ids(prepared: epath.Path, class_names: list[str]) -> list[int]:
  """Reads the number of each class, in the order of the labels.

  Args:
    prepared: folder of the dataset's version.
    class_names: names of its classes.

  Raises:
    InputError: if the file is missing or damaged, or of other classes.
  """
  file = prepared / CATEGORIES
  try:
    told: Mapping[str, int] = json.loads(retried(f"reading {file}", file.read_text))
    return [int(told[name]) for name in class_names]
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise InputError(
      f"{file} must hold a number for each class: {error!r}. Hint: prepare the dataset anew."
    ) from error
