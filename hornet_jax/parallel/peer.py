"""This module sends lines of JSON to another process of the run, and receives them."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

_MAX_BYTES = 1 << 20  # of a line; a longer one is not ours


class Peer:
  """A `Peer` is a connection whose other end said who it is."""

  def __init__(self, connection: socket.socket):
    self._connection = connection
    self._lines = connection.makefile("rb")
    self._sending = threading.Lock()

  def watch(self, seconds: int) -> None:
    """Makes the connection break once the other host has been silent for so long."""
    self._connection.settimeout(None)
    self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("IDLE", seconds // 2), ("INTVL", seconds // 6), ("CNT", 3)):
      if hasattr(socket, f"TCP_KEEP{name}"):  # not everywhere
        option = getattr(socket, f"TCP_KEEP{name}")
        self._connection.setsockopt(socket.IPPROTO_TCP, option, max(value, 1))

  def send(self, message: dict[str, Any]) -> None:
    """Sends a message; where that fails, whoever reads this connection notices."""
    with self._sending, contextlib.suppress(OSError):
      self._connection.sendall(json.dumps(message).encode() + b"\n")

  def receive(self) -> dict[str, Any]:
    """Returns the next message; raises `OSError` or `ValueError` where there is none."""
    return parse(self._lines.readline(_MAX_BYTES))

  def messages(self) -> Iterator[dict[str, Any]]:
    """Yields messages until the connection breaks."""
    with contextlib.suppress(OSError, ValueError):
      while True:
        yield self.receive()

  def close(self) -> None:
    """Ends the connection, which the other end notices."""
    self._lines.close()
    self._connection.close()


def parse(line: bytes) -> dict[str, Any]:
  """Reads a message; raises `ValueError` for a line that is none."""
  try:
    message = json.loads(line)
  except RecursionError as error:  # brackets in brackets, of a stranger
    raise ValueError("too deep") from error
  if not isinstance(message, dict):
    raise ValueError(message)
  return message
