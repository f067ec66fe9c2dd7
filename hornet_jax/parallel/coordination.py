"""This module joins JAX's coordination service, past proxies and without its aborts."""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any

import jax

# `jax.distributed` neither gives the client nor lets one say what happens when it fails.
from jax._src import distributed

from hornet_jax.parallel.cluster import Hosts
from hornet_jax.parallel.terminate import on_terminate

_FAILED_CALL = "St8bad_cast"  # of a function of Python by JAX's client, in jax 0.10


def single(port: int, *, saves: bool) -> None:
  """Initialises JAX's runtime for one process, which then hears of SIGTERM.

  Args:
    port: free port of this host.
    saves: whether SIGTERM is left to JAX, see `distributed.initialize`.
  """
  jax.config.update("jax_cpu_collectives_implementation", None)  # Gloo writes to stdout
  address = f"127.0.0.1:{port}"
  _initialize(saves, address, num_processes=1, process_id=0, coordinator_bind_address=address)


def join(
  hosts: Hosts, *, saves: bool, lost: Callable[[], None], wait_for_news: Callable[[], None]
) -> Any:
  """Initialises JAX's runtime for several processes; returns the client of its key-value store.

  Args:
    hosts: processes of the run; nothing of them is None.
    saves: whether SIGTERM is left to JAX, see `distributed.initialize`.
    lost: function that JAX calls in a thread of its own when its service is gone or says that a
      process is. It must end this process.
    wait_for_news: function that is called when a C++ exception is about to end this process. It
      does not return if another process is gone, which ends this one with that as the reason.

  Raises:
    RuntimeError: if the processes did not come together.
  """
  assert hosts.coordinator, hosts
  on_terminate(lambda kind: lost() if kind == _FAILED_CALL else wait_for_news())
  with _ends_by(lost):
    _initialize(
      saves,
      hosts.coordinator,
      num_processes=hosts.num_processes,
      process_id=hosts.process_id,
      local_device_ids=hosts.local_devices,
      initialization_timeout=hosts.timeout,
      heartbeat_timeout_seconds=hosts.heartbeat,
    )
  return distributed.global_state.client


def _initialize(saves: bool, coordinator: str, **how: Any) -> None:
  _go_past_proxies(coordinator.rpartition(":")[0].strip("[]"))
  before = jax.config.jax_enable_preemption_service  # type: ignore[attr-defined]
  jax.config.update("jax_enable_preemption_service", saves)
  try:
    jax.distributed.initialize(coordinator, cluster_detection_method="deactivate", **how)
  except BaseException:
    jax.config.update("jax_enable_preemption_service", before)
    # At the end of the process JAX would say good-bye to those that it never met.
    distributed.global_state.client = None
    raise


def _go_past_proxies(host: str) -> None:
  """Makes gRPC reach the coordinator directly; all else, downloads too, keeps its proxy."""
  # gRPC reads the names in small letters alone.
  others = os.environ.get("no_grpc_proxy", os.environ.get("no_proxy", ""))  # noqa: SIM112
  os.environ["no_grpc_proxy"] = ",".join(filter(None, [others, host]))  # noqa: SIM112
  jax.config.update("jax_check_proxy_envs", False)  # a warning that there might be a hang


@contextlib.contextmanager
def _ends_by(lost: Callable[[], None]) -> Iterator[None]:
  """Lets JAX's client call `lost` instead of aborting with a page of C++.

  In jax 0.10 the call itself ends by a C++ exception, which `on_terminate` takes for it.
  """
  module: Any = distributed._jax
  make = module.get_distributed_runtime_client
  module.get_distributed_runtime_client = functools.partial(
    make, missed_heartbeat_callback=lambda *_: lost()
  )
  try:
    yield
  finally:
    module.get_distributed_runtime_client = make
