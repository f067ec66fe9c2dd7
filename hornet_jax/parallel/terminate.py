"""This module takes over when a C++ exception that nobody catches is about to end the process."""

import ctypes
from collections.abc import Callable
from typing import Any

_HANDLER = ctypes.CFUNCTYPE(None)
_kept: list[Any] = []  # C++ holds no reference


def on_terminate(end: Callable[[str], None]) -> None:
  """Calls `end` when a C++ exception ends the process; where it returns, the process aborts.

  Where the C++ library is not GNU's, nothing changes.

  Args:
    end: function of the name of the exception's type, as the compiler spells it, called in the
      thread of the exception.
  """
  try:
    library = ctypes.CDLL("libstdc++.so.6")
  except OSError:
    return
  set_terminate, current = library._ZSt13set_terminatePFvvE, library.__cxa_current_exception_type
  set_terminate.restype = _HANDLER
  current.restype = ctypes.POINTER(ctypes.c_char_p * 2)  # std::type_info: virtual table, name

  def handle() -> None:
    kind = current()
    if kind:
      end(kind.contents[1].decode(errors="replace"))
    before()

  handler = _HANDLER(handle)
  before = set_terminate(handler)
  _kept.append(handler)
