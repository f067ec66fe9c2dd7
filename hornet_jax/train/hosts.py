"""Where a run's processes are, and how they come together before anything is computed."""

import dataclasses
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import jax

# JAX offers what it knows of clusters to `initialize` only, which says nothing of who is missing.
from jax._src.clusters import ClusterEnv

from hornet_jax.errors import InputError
from hornet_jax.train.roll_call import RollCall, call_the_roll


@dataclasses.dataclass(frozen=True)
class Hosts:
  """The processes of a run; None what Cloud TPU, SLURM or Kubernetes shall tell.

  Attributes:
    coordinator: HOST:PORT of process 0; port and port + 1 must be open between the hosts.
    num_processes: one a host.
    process_id: of this process.
    timeout: seconds to wait for the others.
    heartbeat: seconds of silence after which a process counts as dead.
  """

  coordinator: str | None = None
  num_processes: int | None = None
  process_id: int | None = None
  timeout: int = 300
  heartbeat: int = 100


def come_together(
  hosts: Hosts, end: Callable[[str], None], *, saves: bool = False
) -> RollCall | None:
  """Initialises JAX's runtime on all processes.

  Args:
    hosts: the processes.
    end: called with an explanation, in a thread of its own, where another process died.
    saves: whether SIGTERM is left to JAX, which tells all processes: for a loop that asks it
      after every step. Otherwise it ends a process as usual.

  Returns:
    The connections to the others; None where this process is the only one.

  Raises:
    InputError: if arguments are missing or wrong, or processes do not come.
    RuntimeError: if JAX was used before in this process.
  """
  hosts = _detect(hosts)
  if hosts.num_processes == 1:
    if jax.distributed.is_initialized():  # by an earlier command of this process
      return None
    # Nobody else is to be reached: a proxy is no reason to warn, and Gloo writes to stdout.
    jax.config.update("jax_check_proxy_envs", False)
    jax.config.update("jax_cpu_collectives_implementation", None)
    address = f"127.0.0.1:{_free_port()}"
    _initialize(saves, address, 1, 0, coordinator_bind_address=address)
    return None
  assert hosts.coordinator, hosts
  assert hosts.num_processes, hosts
  assert hosts.process_id is not None, hosts
  roll_call = call_the_roll(
    _roll_call_address(hosts.coordinator),
    hosts.num_processes,
    hosts.process_id,
    timeout=hosts.timeout,
    silence=hosts.heartbeat // 2,  # before JAX, which gives no reason
    end=end,
  )
  unreachable = (
    f"JAX's coordinator must answer at {hosts.coordinator} within {hosts.timeout} s: all processes "
    "are there, but the port seems to be closed between the hosts"
  )
  timer = threading.Timer(hosts.timeout, end, [unreachable])
  timer.daemon = True
  timer.start()
  _initialize(
    saves,
    hosts.coordinator,
    hosts.num_processes,
    hosts.process_id,
    initialization_timeout=hosts.timeout + 10,  # after the line above
    heartbeat_timeout_seconds=hosts.heartbeat,
  )
  timer.cancel()
  return roll_call


def _initialize(saves: bool, *where: Any, **how: Any) -> None:
  before = jax.config.jax_enable_preemption_service  # type: ignore[attr-defined]
  jax.config.update("jax_enable_preemption_service", saves)
  try:
    jax.distributed.initialize(*where, **how)
  except BaseException:
    jax.config.update("jax_enable_preemption_service", before)
    raise


def _detect(hosts: Hosts) -> Hosts:
  """Fills in what the cluster knows.

  Raises:
    InputError: if something is known, but not all, or it makes no sense.
  """
  coordinator = hosts.coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS")
  found = (coordinator, hosts.num_processes, hosts.process_id)
  if hosts.num_processes != 1 and None in found:
    try:
      found = ClusterEnv.auto_detect_unset_distributed_params(*found, None, None, hosts.timeout)[:3]
    except (RuntimeError, OSError) as error:
      raise InputError(
        f"this cluster does not say who takes part: {error} Hint: give --coordinator, "
        "--num_processes and --process_id, or --num_processes=1."
      ) from error
  coordinator, count, number = found
  if count == 1 or found == (None, None, None):
    return dataclasses.replace(hosts, num_processes=1, process_id=0)
  flags = {"--coordinator": coordinator, "--num_processes": count, "--process_id": number}
  missing = [flag for flag, value in flags.items() if value is None]
  if missing:
    raise InputError(
      f"several processes need --coordinator, --num_processes and --process_id: missing "
      f"{', '.join(missing)}."
    )
  assert count is not None
  assert number is not None
  if not 0 <= number < count:
    raise InputError(f"--process_id must be from 0 to {count - 1}: got {number}.")
  return dataclasses.replace(hosts, coordinator=coordinator, num_processes=count, process_id=number)


def _roll_call_address(coordinator: str) -> tuple[str, int]:
  host, separator, port = coordinator.rpartition(":")
  if not separator or not port.isdecimal() or not 0 < int(port) < 65_535:
    raise InputError(f"--coordinator must be HOST:PORT, of process 0: got {coordinator!r}.")
  return host, int(port) + 1


def _free_port() -> int:
  with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    return probe.getsockname()[1]
