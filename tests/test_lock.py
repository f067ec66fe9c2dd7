"""Locks: one writer, who it is, and what becomes of a dead one's."""

import concurrent.futures
import csv
import errno
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from etils import epath
from waiting import wait_for

from hornet_jax import lock
from hornet_jax.convert import published
from hornet_jax.errors import InputError
from hornet_jax.lock import locked
from hornet_jax.suite.table import append_rows

HOLD = """
import sys, time
from etils import epath
from hornet_jax.lock import locked
from hornet_jax.suite.table import append_rows
with locked(epath.Path(sys.argv[1]), "it"):
  print("held", flush=True)
  time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
  return epath.Path(tmp_path) / "run.lock"


@pytest.fixture
def without_locks(monkeypatch):
  """A disk that has no locks, and a short life of leases."""

  def flock(file, operation):
    raise OSError(errno.ENOLCK, "No locks available")

  monkeypatch.setattr(fcntl, "flock", flock)
  for name, seconds in (("RENEW", 0.05), ("EXPIRY", 0.5), ("SETTLE", 0.05), ("POLL", 0.02)):
    monkeypatch.setattr(lock, f"_{name}_SECONDS", seconds)


def test_second_is_told_who_and_a_dead_one_s_lock_is_free(path):
  command = [sys.executable, "-c", HOLD, str(path)]
  with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
    assert holder.stdout.readline() == "held\n"
    told = rf"it must be .*process {holder.pid} on .+, since 2\d\d\d-.*T"
    with pytest.raises(InputError, match=told), locked(path, "it"):
      pass
    holder.send_signal(signal.SIGKILL)
  with locked(path, "it"):
    assert json.loads(path.read_text())["pid"] == os.getpid()


def test_waiting_takes_turns(path, caplog):
  inside, most = [], []

  def work():
    with locked(path, "it", wait=True):
      inside.append(1)
      most.append(len(inside))
      time.sleep(0.05)
      inside.pop()

  threads = [threading.Thread(target=work) for _ in range(3)]
  with caplog.at_level(logging.INFO, "hornet_jax"):
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join()
  assert most == [1, 1, 1]
  assert "waiting for it" in caplog.text


def test_file_that_cannot_be_locked(tmp_path):
  (tmp_path / "folder").mkdir()
  with pytest.raises(InputError, match="must be a file that can be written"):
    locked(epath.Path(tmp_path / "folder"), "it").__enter__()


def test_lease_refuses_while_it_is_renewed(path, without_locks):
  with locked(path, "it") as held:
    held.check()
    with pytest.raises(InputError, match=rf"process {os.getpid()} on "), locked(path, "it"):
      pass
    held.check()
  assert not path.exists()
  with locked(path, "it"):
    pass


def test_lease_of_a_dead_one_is_taken_over(path, without_locks, caplog):
  path.write_text(json.dumps({"pid": 7, "host": "h", "since": "then", "token": "t", "renewed": 3}))
  with caplog.at_level(logging.INFO, "hornet_jax"), locked(path, "it") as held:
    held.check()
  assert "process 7 on h, since then, is gone; taken over" in caplog.text


def test_a_lease_that_cannot_be_read_is_nobody_else_s(path, without_locks):
  """Cut off, as by a client that looked up its length before it was written again, or gone."""
  with locked(path, "it") as held:
    whole = path.read_text()
    for found in (whole[:-1], ""):
      path.write_text(found)
      held.check()
    path.unlink()
    held.check()
    wait_for(path.exists, seconds=30)
    assert len(path.read_text()) == len(whole)


def test_who_lost_the_lease_is_told_and_leaves_it_to_the_other(path, without_locks):
  with locked(path, "it") as held:
    held._ending.set()  # as if this process had stood still
    held._thread.join()
    held._ending.clear()
    other = json.dumps({"pid": 7, "host": "h", "since": "then", "token": "t", "renewed": 3})
    path.write_text(other)
    with pytest.raises(InputError, match="process 7 on h, since then, took it over"):
      held.check()
  assert path.read_text() == other


def at_once(count, work):
  """Calls `work(number)` in so many threads, and raises what one of them raised."""
  with concurrent.futures.ThreadPoolExecutor(count) as pool:
    return list(pool.map(work, range(count)))


def test_a_published_file_is_downloaded_once(tmp_path, monkeypatch):
  monkeypatch.setenv("HORNET_CACHE", str(tmp_path))
  downloads = []

  def download(name, url, path):
    downloads.append(name)
    time.sleep(0.05)
    path.write_bytes(b"weights")

  monkeypatch.setattr(published, "_download", download)
  found = at_once(3, lambda _: published.locate("official:hornet_tiny_gf"))
  assert downloads == ["official:hornet_tiny_gf"]
  assert [path.read_bytes() for path in found] == [b"weights"] * 3


def test_rows_of_runs_that_end_together_are_all_in_the_table(tmp_path):
  path = epath.Path(tmp_path) / "results.csv"
  at_once(8, lambda number: append_rows(path, [{"set": f"set {number}", "images": number}] * 50))
  with path.open() as file:
    rows = list(csv.DictReader(file))
  assert sorted(row["set"] for row in rows) == sorted(
    f"set {i}" for i in range(8) for _ in "x" * 50
  )
