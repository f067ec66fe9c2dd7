"""The modules that a config names are imported here; they register what is not in this package."""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from hornet_jax.errors import InputError


def import_modules(names: Sequence[str]) -> None:
  """Imports modules from the current folder, or installed ones.

  Args:
    names: dotted names, as the key `imports` of a config has them.

  Raises:
    InputError: if a module is missing or fails.
  """
  if names and os.getcwd() not in sys.path and "" not in sys.path:
    sys.path.append(os.getcwd())
  for name in names:
    try:
      importlib.import_module(name)
    except Exception as error:  # whatever the code of somebody else meets
      absent = isinstance(error, ModuleNotFoundError) and error.name == name
      innermost = traceback.extract_tb(error.__traceback__)[-1]
      raise InputError(
        f"`imports` must name Python modules that can be imported: {name!r} cannot: "
        + (
          f"{error}. Hint: start the command in the module's folder, or install it."
          if absent
          else f"{type(error).__name__}: {error} ({innermost.filename}:{innermost.lineno})."
        )
      ) from error
