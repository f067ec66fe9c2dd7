"""A folder says what is trained there in a Python file with one function."""

import importlib.util
import pathlib
from typing import TypeVar

from hornet_jax.errors import InputError

T = TypeVar("T")


def load_definition(folder: pathlib.Path, name: str, kind: type[T]) -> T:
  """Calls `get_NAME()` of a folder's `NAME.py`.

  Args:
    folder: folder of the file.
    name: name of what is defined, such as `"study"`.
    kind: type of what the function must return.

  Raises:
    InputError: if there is no such file, or it does not give one.
  """
  path = folder / f"{name}.py"
  if not path.is_file():
    raise InputError(f"`{name}` must be a folder with a {path.name}: got {folder}.")
  spec = importlib.util.spec_from_file_location(f"{name}_{folder.name}", path)
  assert spec, path
  assert spec.loader, path
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
    defined = getattr(module, f"get_{name}")()
  except InputError:
    raise
  except Exception as error:
    raise InputError(f"{path} must define get_{name}(): {type(error).__name__}: {error}") from error
  if not isinstance(defined, kind):
    raise InputError(
      f"get_{name}() of {path} must give a {kind.__name__}: got {type(defined).__name__}."
    )
  return defined
