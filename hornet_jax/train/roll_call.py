"""The processes of a run know of each other: who came, who failed, who is gone.

JAX waits at the start without saying for whom, and where a process dies it ends the others
after a while with a page of C++. Here process 0 holds a TCP connection to each of the others,
over which lines of JSON go; a connection that breaks is a process that died.
"""

import contextlib
import json
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from hornet_jax.errors import InputError

_RETRY_SECONDS = 0.2
_GRACE_SECONDS = 5.0  # for a process to end by the same error as the one that says so


class RollCall:
  """The connections, once everybody is there.

  Attributes:
    process: number of this one.
    hosts: name of the host of each process.
  """

  def __init__(
    self, process: int, hosts: list[str], peers: dict[int, "_Peer"], end: Callable[[str], None]
  ):
    """Starts to watch the others.

    Args:
      process: number of this one.
      hosts: name of the host of each process.
      peers: of process 0 all others; of the others process 0.
      end: called with an explanation, in a thread of its own, where the run cannot go on.
    """
    self.hosts = hosts
    self.process = process
    self._peers = peers
    self._end = end
    self._ending = False
    for number, peer in peers.items():
      threading.Thread(target=self._read, args=(number, peer), daemon=True).start()

  def gather(self, value: Any) -> list[Any]:
    """The value of every process, of JSON types; waits for all of them."""
    if self.process:
      self._peers[0].send({"value": value})
      return self._peers[0].inbox.get()
    values = {0: value} | {number: peer.inbox.get() for number, peer in self._peers.items()}
    in_order = [values[number] for number in sorted(values)]
    self._send_all({"value": in_order})
    return in_order

  def leave(self, failure: str | None = None) -> None:
    """Says that this process ends, and why where it failed: the others end too."""
    self._ending = True
    text = failure and f"{self.name(self.process)} ended: {failure}"
    self._send_all({"left": text, "grace": _GRACE_SECONDS})

  def name(self, process: int) -> str:
    """Number and host of a process, for messages."""
    return f"process {process} on {self.hosts[process]}"

  def _send_all(self, message: dict[str, Any], without: int | None = None) -> None:
    for number, peer in self._peers.items():
      if number != without:
        peer.send(message)

  def _read(self, number: int, peer: "_Peer") -> None:
    ending = self._listen(number, peer)
    peer.close()
    if ending and not self._ending:
      self._ending = True  # what follows is a consequence
      self._send_all(ending, without=number)
      time.sleep(ending["grace"])
      self._end(ending["left"])

  def _listen(self, number: int, peer: "_Peer") -> dict[str, Any] | None:
    """Until a process leaves: what to say where the run cannot go on."""
    for message in peer.messages():
      if "left" not in message:
        peer.inbox.put(message["value"])
      else:
        return message if message["left"] else None
    gone = (
      f"{self.name(number)} is gone: killed, out of memory, or its host is down. The same command "
      "on all hosts goes on from the last checkpoint"
    )
    return {"left": gone, "grace": 0}


class _Peer:
  """A connection to another process."""

  def __init__(self, connection: socket.socket):
    self._connection = connection
    self._lines = connection.makefile("r", encoding="utf-8")
    self._sending = threading.Lock()
    self.inbox: queue.Queue[Any] = queue.Queue()

  def watch(self, seconds: int) -> None:
    """Lets the connection break where the other host has been silent for so long."""
    self._connection.settimeout(None)
    self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("IDLE", seconds // 2), ("INTVL", seconds // 6), ("CNT", 3)):
      if hasattr(socket, f"TCP_KEEP{name}"):  # not everywhere
        option = getattr(socket, f"TCP_KEEP{name}")
        self._connection.setsockopt(socket.IPPROTO_TCP, option, max(value, 1))

  def send(self, message: dict[str, Any]) -> None:
    line = (json.dumps(message) + "\n").encode()
    # A failure is not told here: whoever reads this connection says that the other is gone.
    with self._sending, contextlib.suppress(OSError):
      self._connection.sendall(line)

  def receive(self) -> dict[str, Any]:
    """The next message; raises `OSError` or `ValueError` where there is none."""
    message = json.loads(self._lines.readline())
    if not isinstance(message, dict):
      raise ValueError(message)
    return message

  def messages(self):
    """Messages until the connection breaks."""
    try:
      while True:
        yield self.receive()
    except (OSError, ValueError):
      return

  def close(self) -> None:
    self._lines.close()
    self._connection.close()


def call_the_roll(
  address: tuple[str, int],
  num_processes: int,
  process: int,
  *,
  timeout: int,
  silence: int,
  end: Callable[[str], None],
) -> RollCall:
  """Waits until all processes are there.

  Args:
    address: host and port where process 0 listens.
    num_processes: that are expected.
    process: number of this one.
    timeout: seconds to wait.
    silence: seconds after which a host that does not answer counts as down.
    end: see `RollCall`.

  Raises:
    InputError: if some did not come in time, which are named, or two have one number.
  """
  deadline = time.monotonic() + timeout
  if process == 0:
    hosts, peers = _wait_for_others(address[1], num_processes, deadline, timeout)
  else:
    hosts, peer = _answer(address, num_processes, process, deadline, timeout)
    peers = {0: peer}
  for peer in peers.values():
    peer.watch(silence)
  return RollCall(process, hosts, peers, end)


def _wait_for_others(
  port: int, num_processes: int, deadline: float, timeout: int
) -> tuple[list[str], dict[int, _Peer]]:
  peers: dict[int, _Peer] = {}
  hosts = {0: socket.gethostname()}
  refused = None
  try:
    listener = socket.create_server(("", port), backlog=num_processes)
  except OSError as error:
    raise InputError(
      f"--coordinator: port {port}, which is its port + 1, must be free on the host of process 0: "
      f"{error}. Hint: choose another port, on all hosts."
    ) from error
  with listener:
    while not refused and len(hosts) < num_processes:
      try:
        listener.settimeout(max(deadline - time.monotonic(), 0.001))
        connection, _ = listener.accept()
      except TimeoutError:
        missing = ", ".join(str(i) for i in range(num_processes) if i not in hosts)
        refused = (
          f"processes must come within {timeout} s: expected {num_processes}, missing "
          f"{missing}. Hint: start them with the same --coordinator, or see in their logs why they "
          "ended."
        )
        break
      connection.settimeout(max(deadline - time.monotonic(), 1))
      peer = _Peer(connection)
      try:
        hello = peer.receive()
        number, count, host = int(hello["process"]), int(hello["of"]), str(hello["host"])
      except (OSError, ValueError, LookupError):
        peer.close()  # somebody else
        continue
      refused = _objection(number, count, host, num_processes, hosts)
      peers[number if number not in hosts else -1], hosts[number] = peer, hosts.get(number, host)
  in_order = [hosts[number] for number in sorted(hosts)]
  for peer in peers.values():
    peer.send({"refused": refused} if refused else {"hosts": in_order})
    if refused:
      peer.close()
  if refused:
    raise InputError(refused)
  return in_order, peers


def _objection(
  number: int, count: int, host: str, num_processes: int, hosts: dict[int, str]
) -> str | None:
  """What is wrong with a process that came."""
  if count != num_processes:
    return (
      f"--num_processes must be the same everywhere: process {number} on {host} has {count}, "
      f"process 0 on {hosts[0]} has {num_processes}."
    )
  if number in hosts:
    return (
      f"--process_id must be another for each process: {number} was given on {hosts[number]} and "
      f"on {host}."
    )
  return None


def _answer(
  address: tuple[str, int], num_processes: int, process: int, deadline: float, timeout: int
) -> tuple[list[str], _Peer]:
  hello = {"process": process, "of": num_processes, "host": socket.gethostname()}
  failure: Exception | None = None
  while time.monotonic() < deadline:
    try:
      left = max(deadline - time.monotonic(), 0.001)
      connection = socket.create_connection(address, timeout=left)
      # A little longer than process 0 waits: it knows who is missing.
      connection.settimeout(left + _GRACE_SECONDS)
      peer = _Peer(connection)
      peer.send(hello)
      reply = peer.receive()
    except (OSError, ValueError) as error:
      failure = error
      time.sleep(_RETRY_SECONDS)
      continue
    if "refused" in reply:
      peer.close()
      raise InputError(str(reply["refused"]))
    return reply["hosts"], peer
  host, port = address
  raise InputError(
    f"process 0 must answer at {host}, port {port}, within {timeout} s: {failure}. Hint: start "
    f"it there, and let the hosts reach each other on ports {port - 1} and {port}."
  )
