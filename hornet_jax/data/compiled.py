"""Loops over pixels, compiled."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import numba

_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(function: _F) -> _F:
  """Compiles a function of arrays and numbers when it is first called.

  Threads run it at once. The machine code is kept beside the file, or in the user's cache
  where that cannot be written.
  """
  # Unwrapped: checks of types at run time are not for the compiler.
  return numba.njit(inspect.unwrap(function), nogil=True, cache=True)
