"""This module knows which extra of the package brings a library that is not installed."""

import re

from hornet_jax.errors import InputError

# Extra of pyproject.toml -> modules of its packages that are imported somewhere.
MODULES = {
  "train": (
    *("absl", "array_record", "grain", "jinja2", "matplotlib", "ml_collections", "tensorboardX"),
    *("faster_coco_eval", "imagecodecs", "sklearn", "tensorflow_datasets", "tifffile"),
  ),
  "prepare": ("tensorflow",),
  "studies": ("optuna", "psycopg", "scipy", "sqlalchemy"),
}


def missing_extra(text: str) -> InputError | None:
  """Returns what to install for an import that failed; None where no extra brings it.

  Args:
    text: error of the import, which may come from another process.
  """
  found = re.search(r"(?:No module named|import of) '?(\w+)", text)
  for extra, modules in MODULES.items():
    if found and found[1] in modules:
      return InputError(
        f"this needs {found[1]}, which is not installed. Hint: pip install 'hornet_jax[{extra}]'."
      )
  return None
