"""Settings of the whole suite: eight CPU devices, strict shapes."""

import gc
import os
import threading

# Before jax is imported: the suite runs on CPU and pretends to have eight devices.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # nothing of an earlier suite
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import jax
import jaxtyping
import pytest

from hornet_jax.data.prepare import prepare

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> str:
  """A folder with the digits prepared."""
  path = str(tmp_path_factory.mktemp("datasets"))
  prepare("digits", path)
  return path


@pytest.fixture
def untyped():
  """Without the suite's own check of types: users do not have it."""
  jaxtyping.config.update("jaxtyping_disable", True)
  yield
  jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def collected():
  """Nothing of a failed save or restore of Orbax, such as its coroutines, outlives the test."""
  yield
  for thread in threading.enumerate():
    if thread is not threading.main_thread() and not thread.daemon:
      thread.join(timeout=10)
  gc.collect()
