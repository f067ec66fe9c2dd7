"""Config files are found here, by their path or by the name of a shipped one, and called."""

import ast
import importlib.util
import pathlib
import re
from types import ModuleType
from typing import TYPE_CHECKING

import hornet_jax
from hornet_jax.errors import InputError, unknown_name

if TYPE_CHECKING:
  from ml_collections import ConfigDict

_PACKAGE = pathlib.Path(hornet_jax.__file__).parent


def shipped_configs() -> dict[str, pathlib.Path]:
  """Returns the files of the configs that come with the package, by name."""
  return {path.stem: path for path in sorted(_shipped_folder().glob("*.py"))}


def summary(path: pathlib.Path) -> str:
  """Returns the first line of a config file's docstring."""
  docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
  return docstring.partition("\n")[0]


def load_file(spec: str) -> "ConfigDict":
  """Returns what the `get_config(ARG)` of a config file does; a config may start from another.

  Args:
    spec: name of a shipped config, or path of a file, relative to here or as in the repository
      (`configs/digits.py`), with an optional `:ARG`.

  Raises:
    InputError: if there is no such file, or it fails.
  """
  # Here, not above: the configs can be listed without the extra `train`.
  from ml_collections import ConfigDict

  place, _, arg = spec.partition(":")
  path = find_config(place)
  try:
    config = _import(path).get_config(arg)
  except (AttributeError, SyntaxError, ImportError, TypeError, ValueError) as error:
    raise InputError(f"config {spec}: {' '.join(str(error).split())}") from error
  if not isinstance(config, ConfigDict):
    raise InputError(f"config {spec}: `get_config` must return a ConfigDict, got {config!r}.")
  return config


def find_config(place: str) -> pathlib.Path:
  """Returns the file that a path or the name of a shipped config stands for.

  Raises:
    InputError: if there is none.
  """
  shipped = shipped_configs()
  if re.fullmatch(r"\w+", place):
    if place not in shipped:
      raise unknown_name("config", place, shipped)
    return shipped[place]
  path = pathlib.Path(place)
  found = next((p for p in (path, _shipped_folder().parent / path) if p.is_file()), None)
  if found is None or found.suffix != ".py":
    raise InputError(
      f"config {place!r} not found: expected the path of a .py file or a name. "
      f"{unknown_name('config', path.stem, shipped)}"
    )
  return found


def _shipped_folder() -> pathlib.Path:
  """In an installed package it lies inside, in the repository beside it."""
  folders = (_PACKAGE / "configs", _PACKAGE.parent / "configs")
  return next((folder for folder in folders if folder.is_dir()), folders[0])


def _import(path: pathlib.Path) -> ModuleType:
  spec = importlib.util.spec_from_file_location(path.stem, path)
  assert spec, path
  assert spec.loader, path
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module
