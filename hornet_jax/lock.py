"""This module admits one writer at a time: by system locks on disks, by leases elsewhere.

A lock ends with the process that holds it, however that ends. Where there are no locks, as in
object stores and on some network disks, the holder renews a lease every few seconds; a lease that
is no longer renewed belongs to a process that is gone, and is taken over.
"""

import contextlib
import datetime
import errno
import fcntl
import json
import logging
import os
import pathlib
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from etils import epath

from hornet_jax.errors import InputError, StorageError
from hornet_jax.files import make_folder, retried, write_file
from hornet_jax.paths import in_object_store

_logger = logging.getLogger(__name__)

_RENEW_SECONDS = 10.0
_EXPIRY_SECONDS = 45.0  # without a renewal; a store may be slow for a while
_SETTLE_SECONDS = 2.0  # in which whoever wrote the same lease at the same time is seen
_POLL_SECONDS = 1.0
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


class Lock:
  """A `Lock` stands for a lock or a lease that this process holds; `locked` makes them.

  Attributes:
    keep_open: file descriptors that keep the lock for as long as some process has them open.
  """

  keep_open: tuple[int, ...] = ()

  @property
  def is_lost(self) -> bool:
    """Returns whether another process is known to have taken the lease over."""
    return False

  def check(self) -> None:
    """Raises `InputError` where another process took the lease over meanwhile."""


@contextlib.contextmanager
def locked(
  path: epath.Path, what: str, hint: str = "wait for it, or end it", *, wait: bool = False
) -> Iterator[Lock]:
  """Holds the lock of a file, which serves no other purpose, while the context is open.

  Args:
    path: path of the file. It is made where it is missing and left there; its text names the
      holder.
    what: name of the thing that is locked, for messages, such as `"the workdir W"`.
    hint: advice to a person who is refused.
    wait: whether to wait until the lock is free, with one line, instead of being refused.

  Yields:
    The lock.

  Raises:
    InputError: if another process holds it, which is named, or the file cannot be written.
    StorageError: if the storage fails.
  """
  make_folder(path.parent)

  def busy(owner: str) -> None:
    if not wait:
      raise InputError(
        f"{what} must be written by one process at a time: {owner} holds {path}. Hint: {hint}."
      )
    _logger.info("waiting for %s: %s is at it", what, owner)

  held = None if in_object_store(path) else _disk_lock(pathlib.Path(path), busy)
  with held or _lease(path, what, busy) as lock:
    yield lock


def _owner() -> dict[str, Any]:
  since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
  return {"pid": os.getpid(), "host": socket.gethostname(), "since": since}


def _described(owner: Any) -> str:
  """Returns the holder in words, as far as its file tells."""
  try:
    return f"process {owner['pid']} on {owner['host']}, since {owner['since']},"
  except (TypeError, KeyError):
    return "another process"


def _parsed(text: str) -> Any:
  try:
    return json.loads(text)
  except ValueError:
    return None


def _disk_lock(
  path: pathlib.Path, busy: Callable[[str], None]
) -> contextlib.AbstractContextManager[Lock] | None:
  """Takes a lock of the operating system; returns its context, None where the disk has none."""
  try:
    file = retried(f"opening {path}", lambda: path.open("a+"))
  except StorageError:
    raise
  except OSError as error:
    raise InputError(f"{path} must be a file that can be written: {error}.") from error
  try:
    if not retried(f"locking {path}", lambda: _is_locked_now(file)):
      file.seek(0)
      busy(_described(_parsed(file.read())))
      fcntl.flock(file, fcntl.LOCK_EX)
  except BaseException as error:
    file.close()
    if isinstance(error, OSError) and error.errno in _NO_LOCKS:
      return None
    raise
  return _hold(file)


def _is_locked_now(file: TextIO) -> bool:
  """Locks a file; returns False where another process has it locked."""
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return False
  return True


@contextlib.contextmanager
def _hold(file: TextIO) -> Iterator[Lock]:
  lock = Lock()
  lock.keep_open = (file.fileno(),)
  with file:
    with contextlib.suppress(OSError):  # on a full disk the lock holds all the same
      file.truncate(0)
      file.write(json.dumps(_owner()))
      file.flush()
    yield lock  # the name stays: a child may have the file open for longer


class _Lease(Lock):
  """A `_Lease` is renewed by a thread for as long as nobody else took it."""

  def __init__(self, path: epath.Path, what: str):
    self._path, self._what = path, what
    self._mine = _owner() | {"token": uuid.uuid4().hex}
    self._renewals = 0
    self._other: str | None = None
    self._ending = threading.Event()
    self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

  def take(self, busy: Callable[[str], None]) -> None:
    """Takes the lease once it is free, given back or no longer renewed by its holder."""
    told = False
    while True:
      found = self._read()
      if found is not None:
        since = time.monotonic()
        _logger.info("%s: is %s still there?", self._what, _described(found))
        while (now := self._read()) == found and time.monotonic() - since < _EXPIRY_SECONDS:
          time.sleep(_POLL_SECONDS)
        if now is not None and now != found:
          if not told:
            busy(_described(now))
          told = True
          continue
        if now is not None:
          _logger.warning("%s: %s is gone; taken over", self._what, _described(found))
      self._write()
      time.sleep(_SETTLE_SECONDS)
      found = self._read()
      if found is not None and found["token"] == self._mine["token"]:
        self._thread.start()
        return

  @property
  def is_lost(self) -> bool:
    return self._other is not None

  def check(self) -> None:
    if self._other is None and not self._ending.is_set():
      self._other = self._holder()
    if self._other is not None:
      raise InputError(
        f"{self._what} must be written by one process at a time: {self._other} took it over. Hint: "
        "this one was not heard of for a while; leave it to the other, or end that."
      )

  def give_back(self) -> None:
    self._ending.set()
    self._thread.join(_RENEW_SECONDS)
    if self._other is None and self._holder() is None:
      self._path.unlink(missing_ok=True)

  def _renew(self) -> None:
    while not self._ending.wait(_RENEW_SECONDS):
      try:
        self._other = self._holder()
        if self._other is not None:
          return
        self._write()
      except Exception as error:  # of whatever client; the next renewal may come in time
        _logger.warning("%s: the lease is not renewed: %s", self._what, error)

  def _holder(self) -> str | None:
    """Returns who else holds the lease; None where it is ours or has vanished, to be renewed."""
    found = self._read()
    if found is None or found["token"] == self._mine["token"]:
      return None
    return _described(found)

  def _read(self) -> Any:
    """Reads the lease; None where there is none."""
    try:
      found = _parsed(retried(f"reading {self._path}", self._path.read_text))
    except FileNotFoundError:
      return None
    return found if isinstance(found, dict) and "token" in found else None

  def _write(self) -> None:
    self._renewals += 1
    # Of one length: a client that looked up the length before would read it cut off after.
    write_file(self._path, json.dumps(self._mine | {"renewed": f"{self._renewals:09d}"}))


@contextlib.contextmanager
def _lease(path: epath.Path, what: str, busy: Callable[[str], None]) -> Iterator[Lock]:
  lease = _Lease(path, what)
  lease.take(busy)
  try:
    yield lease
  finally:
    with contextlib.suppress(OSError):  # it ends by itself
      lease.give_back()
