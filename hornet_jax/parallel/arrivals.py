"""This module has process 0 wait for the others at the start, and say who is missing."""

import contextlib
import selectors
import socket
import time

from hornet_jax.errors import InputError, LostPeerError
from hornet_jax.parallel.peer import Peer, parse

_HELLO_SECONDS = 10.0  # for a connection to say who it is
_HELLO_BYTES = 4096
_MAX_STRANGERS = 1000  # connections that have not said it yet


class Arrivals:
  """`Arrivals` collects the processes that connect; a stranger's connection delays nobody."""

  def __init__(self, num_processes: int):
    self.hosts = {0: socket.gethostname()}
    self._num_processes = num_processes
    self._came: dict[int, socket.socket] = {}
    self._strangers: dict[socket.socket, tuple[float, bytearray]] = {}
    self._selector = selectors.DefaultSelector()

  def wait(self, listener: socket.socket, deadline: float, timeout: int) -> dict[int, Peer]:
    """Waits for all other processes and returns the connections to them.

    The errors are raised on every process that came.

    Args:
      listener: socket that they connect to.
      deadline: end of the wait, on the clock of `time.monotonic`.
      timeout: length of the wait in seconds, for messages.

    Raises:
      InputError: if two have the same number, or were told another number of processes.
      LostPeerError: if some did not come in time; they are named.
    """
    listener.setblocking(False)
    self._selector.register(listener, selectors.EVENT_READ)
    try:
      while len(self.hosts) < self._num_processes:
        if time.monotonic() > deadline:
          raise LostPeerError(self._missing(timeout))
        for key, _ in self._selector.select(min(1.0, max(deadline - time.monotonic(), 0.0))):
          if key.fileobj is listener:
            self._accept(listener)
          elif isinstance(key.fileobj, socket.socket):
            self._read(key.fileobj)
        self._forget_the_silent()
    except (InputError, LostPeerError) as error:
      self._refuse(error)
      raise
    finally:
      self._selector.close()
      for connection in self._strangers:
        connection.close()
    return {number: self._answered(number) for number in sorted(self._came)}

  def _accept(self, listener: socket.socket) -> None:
    with contextlib.suppress(OSError):  # gone again
      connection, _ = listener.accept()
      connection.setblocking(False)
      self._strangers[connection] = (time.monotonic(), bytearray())
      self._selector.register(connection, selectors.EVENT_READ)

  def _read(self, connection: socket.socket) -> None:
    try:
      received = connection.recv(_HELLO_BYTES)
    except OSError:
      received = b""
    _, line = self._strangers.get(connection, (0.0, bytearray()))
    line += received
    # One that has come says no more until it is answered: it can only be gone, and may come again.
    if not received or len(line) > _HELLO_BYTES or connection in self._came.values():
      self._drop(connection)
    elif line.endswith(b"\n"):
      self._meet(connection, bytes(line))

  def _meet(self, connection: socket.socket, line: bytes) -> None:
    try:
      hello = parse(line)
      number, count, host = int(hello["process"]), int(hello["of"]), str(hello["host"])
    except (ValueError, LookupError, TypeError, OverflowError):
      self._drop(connection)
      return
    if count != self._num_processes:
      objection = (
        f"--num_processes must be the same everywhere: process {number} on {host} has {count}, "
        f"process 0 on {self.hosts[0]} has {self._num_processes}."
      )
    elif number in self.hosts:
      objection = (
        f"--process_id must be another for each process: {number} was given on "
        f"{self.hosts[number]} and on {host}."
      )
    elif not 0 < number < count:
      self._drop(connection)
      return
    else:
      del self._strangers[connection]
      self._came[number], self.hosts[number] = connection, host
      return
    error = InputError(objection)
    _answer(connection, error)
    raise error

  def _drop(self, connection: socket.socket) -> None:
    self._selector.unregister(connection)
    connection.close()
    self._strangers.pop(connection, None)
    for number in [n for n, came in self._came.items() if came is connection]:
      del self._came[number], self.hosts[number]

  def _forget_the_silent(self) -> None:
    late = time.monotonic() - _HELLO_SECONDS
    old = [connection for connection, (since, _) in self._strangers.items() if since < late]
    for connection in {*old, *list(self._strangers)[:-_MAX_STRANGERS]}:
      self._drop(connection)

  def _missing(self, timeout: int) -> str:
    missing = ", ".join(str(i) for i in range(self._num_processes) if i not in self.hosts)
    return (
      f"processes must come within {timeout} s: expected {self._num_processes}, missing {missing}. "
      "Hint: start them with the same --coordinator, or see in their logs why they ended."
    )

  def _refuse(self, error: InputError | LostPeerError) -> None:
    for connection in self._came.values():
      _answer(connection, error)

  def _answered(self, number: int) -> Peer:
    connection = self._came[number]
    connection.setblocking(True)
    peer = Peer(connection)
    peer.send({"hosts": [self.hosts[i] for i in range(self._num_processes)]})
    return peer


def _answer(connection: socket.socket, error: InputError | LostPeerError) -> None:
  connection.settimeout(1)
  peer = Peer(connection)
  peer.send({"refused": str(error), "lost": isinstance(error, LostPeerError)})
  peer.close()
