"""This module lets the processes of a run know who came, who failed and who is gone.

JAX's coordination service carries what they tell each other while all is well. It does not say
who is missing at the start, and learns of a dead process only by its silence. So each process
holds a TCP connection to process 0 besides; one that breaks is a process that died.
"""

import contextlib
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from hornet_jax.errors import InputError, LostPeerError
from hornet_jax.exit_status import AGAIN
from hornet_jax.parallel.arrivals import Arrivals
from hornet_jax.parallel.peer import Peer

_RETRY_SECONDS = 0.2
_GRACE_SECONDS = 3.0  # for a process to end by the same error as the one that says so
_NEWS_SECONDS = 2.0  # within which the end of another process is known here
_MAX_TEXT = 8_000  # characters of an error
_FOREVER_MS = 7 * 24 * 3600 * 1000


class Rendezvous:
  """A `Rendezvous` holds the connections to the other processes, once all have come.

  Attributes:
    process: number of this process.
    hosts: name of the host of each process.
  """

  def __init__(
    self, process: int, hosts: list[str], peers: dict[int, Peer], end: Callable[[str, int], None]
  ):
    """Starts to watch the others.

    Args:
      process: number of this process.
      hosts: name of the host of each process.
      peers: connections by number: of process 0 to all others, of the others to process 0.
      end: function of an explanation and an exit status that ends this process. It is called in
        a thread of its own when the run cannot go on.
    """
    self.hosts = hosts
    self.process = process
    self._peers = peers
    self._end = end
    self._ending = threading.Event()  # this process, or another one that says why
    self._deciding = threading.Lock()
    self._left = False  # this process, by itself
    self._speaks = False  # whether this process ends by an error of its own
    self._client: Any = None
    self._token = ""
    self._trusting = threading.Event()
    self._gathered = 0
    self._readers = [
      threading.Thread(target=self._read, args=(number, peer), daemon=True)
      for number, peer in peers.items()
    ]
    for reader in self._readers:
      reader.start()

  def trust(self, client: Any) -> None:
    """Ignores from now on whoever does not know the token that this run's processes share.

    Args:
      client: client of JAX's key-value store, which holds the token.
    """
    self._client = client
    if self.process == 0:
      client.key_value_set("hornet/token", secrets.token_hex(16))
    self._token = client.blocking_key_value_get("hornet/token", _FOREVER_MS)
    self._trusting.set()
    self._send_all({})

  def gather(self, value: Any) -> list[Any]:
    """Returns the value of every process, of JSON types; waits for all of them.

    Raises:
      LostPeerError: if JAX's service fails.
    """
    self._gathered += 1
    key = f"hornet/gathered/{self._gathered}"
    try:
      self._client.key_value_set(f"{key}/{self.process}", json.dumps(value))
      return [
        json.loads(self._client.blocking_key_value_get(f"{key}/{number}", _FOREVER_MS))
        for number in range(len(self.hosts))
      ]
    except RuntimeError as error:  # of JAX
      raise LostPeerError(
        f"{self.name(0)} does not answer: {str(error).splitlines()[0]}"
      ) from error

  def leave(self, failure: str | None = None, status: int = 0) -> None:
    """Says that this process ends, and why where it failed: the others end too.

    Args:
      failure: description of what went wrong; None where nothing did.
      status: exit status of this process; the others take it over.
    """
    self._speaks = failure is not None
    self._left = True
    self._ending.set()
    text = failure and f"{self.name(self.process)} ended: {failure}"[:_MAX_TEXT]
    self._send_all({"left": text, "status": status, "grace": _GRACE_SECONDS})
    if failure:
      self._see_off(_GRACE_SECONDS)

  def wait_for_news(self) -> None:
    """Waits a while for another process's failure, which would explain an error here.

    If one is announced, this process ends with the status of the other and does not return.
    """
    if self._ending.wait(_NEWS_SECONDS):
      threading.Event().wait()

  def lost(self, text: str) -> None:
    """Ends this process as JAX's service is lost, unless it is about to end by another reason."""
    if self._speaks:  # process 0 was faster
      threading.Event().wait()
    if not self._left:  # else nobody would end this process
      self.wait_for_news()
    self._end(text, AGAIN)

  def name(self, process: int) -> str:
    """Returns number and host of a process, for messages."""
    return f"process {process} on {self.hosts[process]}"

  def _send_all(self, message: dict[str, Any], without: int | None = None) -> None:
    for number, peer in self._peers.items():
      if number != without:
        peer.send({"token": self._token, **message})

  def _read(self, number: int, peer: Peer) -> None:
    ending = self._listen(number, peer)
    with self._deciding:
      is_first = ending is not None and not self._ending.is_set()
      if is_first:
        self._ending.set()  # what follows is a consequence
    if ending and is_first:
      self._send_all(ending, without=number)
      time.sleep(ending["grace"])
      self._see_off(ending["grace"])
      if not self._speaks:
        self._end(ending["left"], ending["status"])
    peer.close()  # not before: process 0 waits for it

  def _listen(self, number: int, peer: Peer) -> dict[str, Any] | None:
    """Reads what a process sends until it leaves; returns what to say if the run cannot go on."""
    known = not self._trusting.is_set()  # JAX has not met them yet: whoever is gone is missing
    for message in peer.messages():
      self._trusting.wait()
      known = secrets.compare_digest(str(message.get("token")), self._token)
      if not known:
        return None
      if "left" in message:
        return message if message["left"] else None
    if not known and self._trusting.is_set():
      return None
    gone = (
      f"{self.name(number)} is gone: killed, out of memory, or its host is down. The same command "
      "on all hosts goes on from the last checkpoint"
    )
    return {"left": gone, "status": AGAIN, "grace": 0.0}

  def _see_off(self, seconds: float) -> None:
    """Makes process 0 end last: JAX's service ends with it, and so would all who still use it."""
    if self.process == 0:
      deadline = time.monotonic() + seconds + _NEWS_SECONDS
      for reader in self._readers:
        if reader is not threading.current_thread():
          reader.join(max(deadline - time.monotonic(), 0.0))


def meet(
  address: tuple[str, int],
  num_processes: int,
  process: int,
  *,
  bind: str,
  timeout: int,
  silence: int,
  end: Callable[[str, int], None],
) -> Rendezvous:
  """Waits until all processes are there.

  Args:
    address: host and port of process 0.
    num_processes: number of processes expected.
    process: number of this process.
    bind: address at which process 0 listens.
    timeout: seconds to wait.
    silence: seconds after which a host that does not answer counts as down.
    end: function that ends this process, see `Rendezvous`.

  Raises:
    InputError: if two have the same number, or were told another number of processes, or process
      0 cannot listen.
    LostPeerError: if some did not come in time; they are named.
  """
  deadline = time.monotonic() + timeout
  if process == 0:
    arrivals = Arrivals(num_processes)
    with _listen_at(bind, address[1], num_processes) as listener:
      peers = arrivals.wait(listener, deadline, timeout)
    hosts = [arrivals.hosts[number] for number in range(num_processes)]
  else:
    hosts, peer = _answer(address, num_processes, process, deadline, timeout)
    peers = {0: peer}
  for peer in peers.values():
    peer.watch(silence)
  return Rendezvous(process, hosts, peers, end)


def _listen_at(host: str, port: int, backlog: int) -> socket.socket:
  family = socket.AF_INET6 if ":" in host else socket.AF_INET
  try:
    return socket.create_server((host, port), family=family, backlog=backlog)
  except OSError as error:
    raise InputError(
      f"--coordinator must be an address of the host of process 0, whose port {port} (the given "
      f"one + 1) is free: {host or 'any address'}: {error}. Hint: choose another port, on all "
      "hosts; where the address is another's that leads here, set JAX_COORDINATOR_BIND_ADDRESS."
    ) from error


def _answer(
  address: tuple[str, int], num_processes: int, process: int, deadline: float, timeout: int
) -> tuple[list[str], Peer]:
  hello = {"process": process, "of": num_processes, "host": socket.gethostname()}
  failure: Exception | None = None
  while time.monotonic() < deadline:
    with contextlib.ExitStack() as stack:
      try:
        left = max(deadline - time.monotonic(), 0.001)
        connection = socket.create_connection(address, timeout=left)
        # A little longer than process 0 waits: it knows who is missing.
        connection.settimeout(left + _GRACE_SECONDS)
        peer = Peer(connection)
        stack.callback(peer.close)
        peer.send(hello)
        reply = peer.receive()
      except (OSError, ValueError) as error:
        failure = error
        time.sleep(_RETRY_SECONDS)
        continue
      if "refused" in reply:
        raise (LostPeerError if reply["lost"] else InputError)(reply["refused"])
      stack.pop_all()
      return reply["hosts"], peer
  host, port = address
  raise LostPeerError(
    f"process 0 must answer at {host}, port {port}, within {timeout} s: {failure}. Hint: start "
    f"it there, and let the hosts reach each other on ports {port - 1} and {port}."
  )
