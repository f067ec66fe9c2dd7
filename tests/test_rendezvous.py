"""The processes know of each other: who came, who failed, who is gone, and who is a stranger."""

import argparse
import json
import re
import socket
import threading
import time

import pytest
from processes import free_port

from hornet_jax.cli import hosts as cli_hosts
from hornet_jax.cli.doctor import _Doctor
from hornet_jax.errors import InputError, LostPeerError
from hornet_jax.exit_status import AGAIN, PERSON
from hornet_jax.parallel.assert_same import assert_same
from hornet_jax.parallel.rendezvous import Rendezvous, meet


class Store:
  """JAX's key-value store, for threads."""

  def __init__(self):
    self.values = {}
    self._changed = threading.Condition()

  def key_value_set(self, key, value):
    with self._changed:
      self.values[key] = value
      self._changed.notify_all()

  def blocking_key_value_get(self, key, timeout_in_ms):
    with self._changed:
      assert self._changed.wait_for(lambda: key in self.values, 30)
      return self.values[key]


def in_threads(*calls):
  """What each call returned or raised."""
  results = [None] * len(calls)

  def run(number):
    try:
      results[number] = calls[number]()
    except (InputError, LostPeerError) as error:
      results[number] = error

  threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join(30)
  return results


def caller(number, count, port, store, end, timeout=10):
  """A call that brings the process with this number together with the others."""

  def call():
    rendezvous = meet(
      ("127.0.0.1", port),
      count,
      number,
      bind="127.0.0.1",
      timeout=timeout,
      silence=10,
      end=end,
    )
    rendezvous.trust(store)
    return rendezvous

  return call


class Ends:
  """What `end` was called with; in a process it would end that."""

  def __init__(self):
    self.seen = []
    self._changed = threading.Condition()

  def __call__(self, text, status):
    with self._changed:
      self.seen.append((text, status))
      self._changed.notify_all()

  def wait(self, count):
    with self._changed:
      assert self._changed.wait_for(lambda: len(self.seen) == count, 30), self.seen
    return self.seen


def roll_calls(numbers, count, ends=None, timeout=10):
  """The processes with these numbers, as threads."""
  port, store = free_port(), Store()
  return in_threads(*(caller(i, count, port, store, ends or Ends(), timeout) for i in numbers))


def connect(port):
  """A connection to process 0, once it listens."""
  deadline = time.monotonic() + 30
  while True:
    try:
      return socket.create_connection(("127.0.0.1", port), timeout=30)
    except ConnectionRefusedError:
      assert time.monotonic() < deadline
      time.sleep(0.01)


def say(connection, **message):
  connection.sendall(json.dumps(message).encode() + b"\n")


def test_values_are_gathered_and_compared():
  rolls = roll_calls([0, 1, 2], 3)
  assert in_threads(*(lambda r=r: r.gather(r.process * 10) for r in rolls)) == [[0, 10, 20]] * 3
  found = in_threads(
    *(lambda r=r: assert_same(r, "configs", {"a.b": min(r.process, 1)}) for r in rolls)
  )
  assert all("a.b is 1 for process 2 on" in str(error) for error in found)


@pytest.mark.parametrize("status", [PERSON, AGAIN, 1])
def test_the_others_end_as_the_one_that_failed(status):
  ends = Ends()
  rolls = roll_calls([0, 1, 2], 3, ends)
  rolls[2].leave("a reason", status)
  seen = ends.wait(2)  # process 0, and process 1 through it
  assert all(re.fullmatch(r"process 2 on \S+ ended: a reason", text) for text, _ in seen)
  assert [ended for _, ended in seen] == [status] * 2


def test_process_0_tells_the_others_and_ends_after_them():
  ends = Ends()
  rolls = roll_calls([0, 1], 2, ends)
  rolls[0].leave("a reason", PERSON)
  assert [status for _, status in ends.seen] == [PERSON]  # not only later


def test_a_process_that_is_gone_is_named():
  ends = Ends()
  rolls = roll_calls([0, 1, 2], 3, ends)
  rolls[1]._ending.set()  # as where it is killed: it says nothing
  rolls[1]._peers[0]._connection.shutdown(socket.SHUT_RDWR)
  assert {status for _, status in ends.wait(2)} == {AGAIN}
  assert all(re.match(r"process 1 on \S+ is gone: killed", text) for text, _ in ends.seen)


def test_those_that_are_missing_are_named_to_all():
  found = roll_calls([0, 2], 4, timeout=2)
  assert [type(error) for error in found] == [LostPeerError] * 2
  assert all("expected 4, missing 1, 3." in str(error) for error in found)


def test_process_0_that_is_missing_is_named():
  (error,) = roll_calls([1], 2, timeout=1)
  assert isinstance(error, LostPeerError)
  assert "process 0 must answer at 127.0.0.1" in str(error)


def test_the_same_number_twice_is_refused():
  found = roll_calls([0, 1, 1], 3)
  assert any("--process_id must be another for each" in str(error) for error in found)
  assert isinstance(found[0], InputError)


def test_strangers_delay_nobody():
  port, store, strangers = free_port(), Store(), []

  def late():
    strangers.extend([connect(port) for _ in range(3)])  # the first says nothing
    strangers[1].sendall(b"GET / HTTP/1.1\r\n" * 2 + b"\n")
    strangers[2].sendall(b"x" * 5000)  # without an end
    assert [stranger.recv(10) for stranger in strangers[1:]] == [b"", b""]
    return caller(1, 2, port, store, Ends())()

  zero, one = in_threads(caller(0, 2, port, store, Ends()), late)
  assert zero.hosts == one.hosts
  assert strangers[0].recv(10) == b""  # nobody listens to it any more
  with pytest.raises(ConnectionRefusedError):
    socket.create_connection(("127.0.0.1", port), timeout=30)
  for stranger in strangers:
    stranger.close()


def test_process_0_listens_at_its_address_alone():
  port, store = free_port(), Store()

  def late():
    connect(port).close()
    with pytest.raises(ConnectionRefusedError):
      socket.create_connection(("127.0.0.2", port), timeout=30)
    return caller(1, 2, port, store, Ends())()

  zero, one = in_threads(caller(0, 2, port, store, Ends()), late)
  assert zero.hosts == one.hosts


def test_an_address_of_another_host_is_refused():
  with pytest.raises(InputError, match="must be an address of the host of process 0"):
    meet(("192.0.2.1", 1234), 2, 0, bind="192.0.2.1", timeout=1, silence=1, end=pytest.fail)


def test_a_process_that_was_started_again_takes_its_place():
  port, store = free_port(), Store()

  def late():
    first = connect(port)
    say(first, process=1, of=3, host="a")
    first.close()
    return in_threads(*(caller(i, 3, port, store, Ends()) for i in (1, 2)))

  zero, others = in_threads(caller(0, 3, port, store, Ends()), late)
  assert [getattr(roll, "hosts", roll) for roll in others] == [zero.hosts] * 2


@pytest.mark.parametrize("token", ["", "guessed", None])
def test_those_that_do_not_know_the_run_are_not_listened_to(token):
  port, store, ends = free_port(), Store(), Ends()
  connections = []

  def stranger():
    connections.append(connect(port))
    say(connections[0], process=1, of=2, host="a")

  in_threads(caller(0, 2, port, store, ends), stranger)
  right = store.values["hornet/token"]
  say(connections[0], token=token, left="a lie", status=PERSON, grace=0.0)
  with connections[0], connections[0].makefile("rb") as answers:
    assert json.loads(answers.readline())["hosts"]
    assert json.loads(answers.readline()) == {"token": right}
    assert answers.readline() == b""  # hung up
  assert not ends.seen


def test_an_error_that_another_process_caused_is_not_told_as_a_bug(monkeypatch):
  ends = Ends()
  rolls = roll_calls([0, 1], 2, ends)
  rolls[1].leave("a reason", PERSON)
  waiting = threading.Thread(target=rolls[0].wait_for_news, daemon=True)
  waiting.start()
  assert ends.wait(1)[0][1] == PERSON
  assert waiting.is_alive()  # until the process has ended


def test_a_deadline_that_was_left_by_an_error_ends_nothing(monkeypatch):
  ends = Ends()
  monkeypatch.setattr(cli_hosts, "_end", ends)
  with pytest.raises(InputError), cli_hosts.deadline(0.2, "too late"):
    raise InputError("a reason")
  with cli_hosts.deadline(0.4, "in time"):
    threading.Event().wait(0.8)
  assert [text for text, _ in ends.seen] == ["in time"]


def test_doctor_goes_on_alike_where_one_process_fails(capsys):
  doctors = [
    _Doctor(argparse.Namespace(timeout=30), rendezvous) for rendezvous in roll_calls([0, 1], 2)
  ]

  def broken_on(number):
    def check(process):
      def local():
        if process == number:
          raise InputError("a disk is gone")
        return process

      return lambda: f"found {doctors[process]._together(local)}"

    return in_threads(*(lambda i=i: doctors[i].report("data", check(i)) for i in (0, 1)))

  for number in (0, 1):
    assert broken_on(number) == [False, False]
    printed = capsys.readouterr().out
    assert re.search(rf"^WRONG process {number} on \S+: data: a disk is gone$", printed, re.M)
    assert f"data: not done, as process {number} could not" in printed
  assert broken_on(None) == [True, True]
  assert "data: found [0, 1]" in capsys.readouterr().out


def test_who_ends_by_an_error_is_not_ended_by_the_service_that_ends_with_process_0():
  """Both fail alike, and process 0 is gone first: the status of this one stays its own."""
  ends = []
  rendezvous = Rendezvous(1, ["a", "b"], {}, lambda *end: ends.append(end))
  rendezvous.leave("the configs differ", PERSON)
  service = threading.Thread(target=rendezvous.lost, args=["no answer"], daemon=True)
  service.start()
  service.join(0.5)
  assert not ends
