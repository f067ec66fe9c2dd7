"""This module brings a run's processes together before anything is computed."""

import contextlib
import logging
import os
import socket
from collections.abc import Callable

import jax

# No public name tells whether a backend is up without starting one.
from jax._src.xla_bridge import backends_are_initialized

from hornet_jax.errors import InputError, LostPeerError
from hornet_jax.parallel.cluster import Hosts, detect
from hornet_jax.parallel.coordination import join, single
from hornet_jax.parallel.rendezvous import Rendezvous, meet

_logger = logging.getLogger(__name__)


def initialize(
  hosts: Hosts, end: Callable[[str, int], None], *, saves: bool = False
) -> Rendezvous | None:
  """Initialises JAX's runtime on all processes.

  Args:
    hosts: processes of the run.
    end: function of an explanation and an exit status, called in a thread of its own when
      another process failed or died.
    saves: whether SIGTERM is left to JAX, which tells all processes: for a loop that asks it
      after every step. Otherwise it ends a process as usual.

  Returns:
    The connections to the others; None where this process is the only one.

  Raises:
    InputError: if arguments are missing or wrong, or JAX was used before in this process and
      others take part.
    LostPeerError: if processes do not come.
  """
  hosts = detect(hosts)
  if hosts.num_processes == 1:
    if backends_are_initialized() and not jax.distributed.is_initialized():
      _logger.info("JAX was used before in this process: it goes on alone")
    elif not jax.distributed.is_initialized():  # by an earlier command of this process
      single(_free_port(), saves=saves)
    return None
  assert hosts.coordinator, hosts
  assert hosts.num_processes, hosts
  assert hosts.process_id is not None, hosts
  host, port = _parse(hosts.coordinator)
  if backends_are_initialized() or jax.distributed.is_initialized():
    raise InputError(
      f"JAX must not be in use before {hosts.num_processes} processes come together, and it is, in "
      "this process. Hint: start the command as a process of its own, or give --num_processes=1 to "
      "run alone."
    )
  rendezvous = meet(
    (host, port + 1),
    hosts.num_processes,
    hosts.process_id,
    bind=_bind_host(host),
    timeout=hosts.timeout,
    silence=hosts.heartbeat // 2,  # before JAX, which gives no reason
    end=end,
  )
  lost = (
    f"JAX's coordination service at {hosts.coordinator} does not answer, or has not heard of some "
    f"process for {hosts.heartbeat} s: a host is down, hangs, or is cut off. The same command on "
    "all hosts goes on from the last checkpoint"
  )
  try:
    client = join(
      hosts,
      saves=saves,
      lost=lambda: rendezvous.lost(lost),
      wait_for_news=rendezvous.wait_for_news,  # the exception may be a consequence
    )
    rendezvous.trust(client)
  except RuntimeError as error:
    raise LostPeerError(
      f"JAX's coordinator must answer at {hosts.coordinator} within {hosts.timeout} s: all "
      "processes are there, but the port seems to be in use, or closed between the hosts."
    ) from error
  return rendezvous


def _parse(coordinator: str) -> tuple[str, int]:
  host, separator, port = coordinator.rpartition(":")
  if not host or not separator or not port.isdecimal() or not 0 < int(port) < 65_535:
    raise InputError(f"--coordinator must be HOST:PORT, of process 0: got {coordinator!r}.")
  return host.strip("[]"), int(port)


def _bind_host(host: str) -> str:
  """Returns where process 0 listens: at its address in --coordinator, or where JAX is told to."""
  told = os.environ.get("JAX_COORDINATOR_BIND_ADDRESS")
  if told:
    return told.rpartition(":")[0].strip("[]")
  with contextlib.suppress(OSError):  # a name that nobody knows: listening will say so
    # Debian gives a host's own name an address that others cannot reach.
    if host != "localhost" and socket.gethostbyname(host).startswith("127.0.1."):
      return ""
  return host


def _free_port() -> int:
  with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    return probe.getsockname()[1]
