"""This module compiles loops over pixels with numba."""

import inspect
import os
from collections.abc import Callable
from typing import Any, TypeVar

import numba

from hornet_jax.paths import cache_folder

_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(function: _F) -> _F:
  """Compiles a function of arrays and numbers when it is first called.

  Several threads can run it at the same time. The machine code is kept in our cache folder, as
  numba itself fails where neither the folder of the file nor a home can be written;
  $NUMBA_CACHE_DIR puts it elsewhere.
  """
  config: Any = numba.config
  chosen = config.CACHE_DIR
  config.CACHE_DIR = chosen or os.fspath(cache_folder() / "numba")
  try:
    # Unwrapped: checks of types at run time are not for the compiler.
    return numba.njit(inspect.unwrap(function), nogil=True, cache=True)
  finally:
    config.CACHE_DIR = chosen
