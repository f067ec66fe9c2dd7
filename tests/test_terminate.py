"""A C++ exception that nobody catches ends a process with the reason that another one gave."""

import signal
import subprocess
import sys

import pytest

CHILD = """
import ctypes, os, sys
from hornet_jax.parallel.terminate import on_terminate
def end(kind):
  print(kind, flush=True)
  if kind == sys.argv[2]:
    os._exit(75)
on_terminate(end)
getattr(ctypes.CDLL("libstdc++.so.6"), sys.argv[1])(b"")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="another C++ library")
@pytest.mark.parametrize("kind", ["bad_cast", "out_of_range"])
@pytest.mark.parametrize("ends", [True, False])
def test_who_ends_the_process_knows_the_exception(kind, ends):
  # `std::__throw_...`, as the compiler spells it.
  throw, kind = {
    "bad_cast": ("_ZSt16__throw_bad_castv", "St8bad_cast"),
    "out_of_range": ("_ZSt20__throw_out_of_rangePKc", "St12out_of_range"),
  }[kind]
  command = [sys.executable, "-c", CHILD, throw, kind if ends else "another"]
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  assert done.stdout.strip() == kind
  assert done.returncode == (75 if ends else -signal.SIGABRT)
