"""A prepared dataset says which number each class has in the annotations that it was made of."""

import json
from collections.abc import Mapping

CATEGORIES = "categories.json"
"""The file beside those of the dataset: the name of a class -> its number."""


def categories_text(categories: Mapping[str, int]) -> str:
  """Returns the content of the file.

  Args:
    categories: name of each class, in the order of the labels -> its number.
  """
  return json.dumps(dict(categories), indent=2)
