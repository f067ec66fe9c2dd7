"""Settings of the whole suite: eight CPU devices, strict shapes."""

import gc
import os
import signal
import tempfile
import threading

# Before jax is imported: the suite runs on CPU and pretends to have eight devices.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
if "PYTEST_XDIST_WORKER" not in os.environ:
  # What one test has compiled serves the others, and the processes that they start: nothing of an
  # earlier suite does.
  COMPILED = tempfile.TemporaryDirectory(prefix="hornet_tests_compiled_")
  os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "true"
  os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED.name
  os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
  # Nor does any dataset that this machine happens to have.
  PREPARED = tempfile.TemporaryDirectory(prefix="hornet_tests_prepared_")
  os.environ["TFDS_DATA_DIR"] = PREPARED.name
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import jax
import jaxtyping
import pytest
from compiling import QUICK_FLAGS
from processes import STARTED

from hornet_jax.data.preparing.prepare import prepare

jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_configure():
  """Compiles sooner what is slower then, but for processes that are started as users start them.

  Once per process, before jax makes its devices; what a test starts inherits it.
  """
  os.environ["XLA_FLAGS"] += f" {QUICK_FLAGS}"


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> str:
  """A folder with the digits prepared."""
  path = str(tmp_path_factory.mktemp("datasets"))
  prepare("digits", path)
  return path


@pytest.fixture(scope="session")
def prepared(data_dir):
  """Prepares the data of a task of `small_tasks`, where they are not yet, and gives the folder."""

  def folder(small) -> str:
    prepare(small.dataset, data_dir)
    return data_dir

  return folder


@pytest.fixture
def untyped():
  """Without the suite's own check of types: users do not have it."""
  jaxtyping.config.update("jaxtyping_disable", True)
  yield
  jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def collected():
  """Nothing of a failed save or restore of Orbax, such as its coroutines, outlives the test."""
  before = set(threading.enumerate())
  yield
  for thread in set(threading.enumerate()) - before:
    if not thread.daemon:
      thread.join(timeout=10)
  gc.collect()


@pytest.fixture
def nobody_is_left():
  """Ends what a test that failed has started of several processes."""
  yield
  for process in STARTED:
    if process.poll() is None:
      os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
  STARTED.clear()
