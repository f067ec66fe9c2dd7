"""Every trial of a queue is run once, whoever works, dies or is late."""

import concurrent.futures
import contextlib
import glob
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings

import optuna
import pytest
from optuna.trial import TrialState
from processes import free_port
from waiting import wait_for

from hornet_jax.errors import InputError, StoppedError, StorageError
from hornet_jax.sweeps.queue import REASON, TRIAL, WORKER, Queue
from hornet_jax.sweeps.worker import work

ROOT = pathlib.Path(__file__).parents[1]
WORKER_SCRIPT = ROOT / "tests" / "queue_worker.py"
NOBODY = 65534


def trials(count):
  return {f"{number:012x}": {"number": number} for number in range(count)}


@pytest.fixture
def sqlite(tmp_path):
  return f"sqlite:///{tmp_path}/queue.db"


@pytest.fixture
def open_queue():
  """A function like `Queue`; what it opened is closed in the end."""
  with contextlib.ExitStack() as stack:
    yield lambda storage, **how: stack.enter_context(
      contextlib.closing(Queue(storage, "sweep", **how))
    )


@pytest.fixture
def queue(sqlite, open_queue):
  return open_queue(sqlite)


@pytest.fixture
def postgresql(monkeypatch):
  """A server of its own, on a port of its own."""
  # Debian does not put them on the path.
  places = [*glob.glob("/usr/lib/postgresql/*/bin"), os.environ.get("PATH", "")]
  monkeypatch.setenv("PATH", os.pathsep.join(places))
  if missing := [name for name in ("initdb", "postgres", "pg_isready") if not shutil.which(name)]:
    pytest.skip(f"PostgreSQL is not installed: no {', '.join(missing)}")
  port = free_port()
  with tempfile.TemporaryDirectory() as folder:
    as_other = []
    if os.getuid() == 0:  # as which it refuses to run
      as_other = ["setpriv", f"--reuid={NOBODY}", "--clear-groups"]
      os.chown(folder, NOBODY, -1)
    make = [*as_other, "initdb", f"--pgdata={folder}/data", "-U", "hornet", "-A", "trust", "-N"]
    subprocess.run(make, check=True, capture_output=True, cwd=folder)
    settings = ["-p", str(port), "-k", folder, "-c", "listen_addresses=127.0.0.1", "-F"]
    server = subprocess.Popen(
      [*as_other, "postgres", "-D", f"{folder}/data", *settings], cwd=folder
    )
    try:
      wait_for(lambda: _answers(port), server, seconds=60)
      yield f"postgresql+psycopg://hornet@127.0.0.1:{port}/postgres"
    finally:
      server.send_signal(signal.SIGINT)
      server.wait(60)


def _answers(port):
  ready = ["pg_isready", "--quiet", "--host=127.0.0.1", f"--port={port}"]
  return subprocess.run(ready, check=False).returncode == 0


def start_worker(storage, folder, seconds):
  command = [sys.executable, str(WORKER_SCRIPT), storage, str(folder), str(seconds)]
  return subprocess.Popen(
    command,
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def ended(processes):
  for process in processes:
    output = process.communicate(timeout=600)[0]
    assert process.returncode == 0, output


def run_all(open_queue, storage, folder, count, workers, seconds):
  """Runs all trials; checks that each was run once."""
  folder.mkdir()
  queue = open_queue(storage)
  assert queue.add(trials(count)) == count
  ended([start_worker(storage, folder, seconds) for _ in range(workers)])
  assert sorted(queue.names(TrialState.COMPLETE)) == sorted(trials(count))
  twice = [path.name for path in folder.iterdir() if len(path.read_text().splitlines()) != 1]
  assert not twice
  assert len(list(folder.iterdir())) == count


def test_two_workers_run_each_trial_once(sqlite, open_queue, tmp_path):
  run_all(open_queue, sqlite, tmp_path / "ran", count=16, workers=2, seconds=0.0)


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["sqlite", "postgresql"])
def test_four_workers_run_each_of_200_trials_once(storage, open_queue, tmp_path, request):
  run_all(
    open_queue,
    request.getfixturevalue(storage),
    tmp_path / "ran",
    count=200,
    workers=4,
    seconds=0.1,
  )


def test_what_is_there_is_not_added_again_and_doubles_are_run_once(queue):
  assert queue.add(trials(3)) == 3
  assert queue.add(trials(4)) == 1
  # As where two processes look before either of them adds.
  queue._study.enqueue_trial({}, user_attrs={TRIAL: f"{0:012x}", "number": 0})
  ran = []
  work(queue, lambda attributes, _: ran.append(attributes["number"]) or 1.0, threading.Event())
  assert sorted(ran) == [0, 1, 2, 3]


def test_an_empty_queue_draws_nothing_of_its_own(queue):
  assert not queue.run_next(lambda *_: pytest.fail("ran"), ())
  assert queue.states() == {}


def test_a_worker_that_dies_is_replaced(queue, sqlite, tmp_path):
  folder = tmp_path / "ran"
  folder.mkdir()
  queue.add(trials(1))
  victim = start_worker(sqlite, folder, 600)
  wait_for(lambda: list(folder.iterdir()), victim, seconds=120)
  wait_for(lambda: WORKER in queue.states()[f"{0:012x}"].user_attrs, victim, seconds=60)
  victim.kill()
  victim.communicate()
  ended([start_worker(sqlite, folder, 0)])
  assert queue.names(TrialState.COMPLETE) == [f"{0:012x}"]
  assert len((folder / f"{0:012x}").read_text().splitlines()) == 2


def test_a_worker_of_another_machine_is_dead_when_it_is_silent(sqlite, open_queue):
  queue = open_queue(sqlite, beat=1, silence=2)
  queue.add(trials(1))
  with pytest.warns(UserWarning, match="Heartbeat"):  # only `optimize` gives signs of life
    entry = queue._study.ask()
  entry.set_user_attr(WORKER, "elsewhere:1")
  queue._study._storage.record_heartbeat(entry._trial_id)
  queue.reclaim()
  assert queue.names(TrialState.RUNNING) == [f"{0:012x}"]
  time.sleep(4)
  queue.reclaim()
  assert queue.names(TrialState.WAITING) == [f"{0:012x}"]


def test_a_late_sign_of_life_is_survived(queue, sqlite, open_queue, caplog):
  """Its trial is failed by another worker while it runs; whoever has it then completes it."""
  other = open_queue(sqlite)
  queue.add(trials(1))
  ran = []

  def run(attributes, _):
    ran.append(attributes["number"])
    if len(ran) == 1:
      other._study.tell(0, state=TrialState.FAIL)
      other._study.enqueue_trial({}, user_attrs=dict(attributes))
    return 1.0

  work(queue, run, threading.Event())
  assert ran == [0, 0]
  assert "a sign of life of this worker came too late" in caplog.text
  assert queue.names(TrialState.COMPLETE) == [f"{0:012x}"]


def test_a_failure_is_of_its_trial_and_told(queue):
  queue.add(trials(3))

  def run(attributes, _):
    if attributes["number"] == 1:
      raise RuntimeError("a defect")
    return 1.0

  work(queue, run, threading.Event())
  failed = queue.states()[f"{1:012x}"]
  assert (failed.state, failed.user_attrs[REASON]) == (TrialState.FAIL, "a defect")
  assert len(queue.names(TrialState.COMPLETE)) == 2
  assert queue.add(trials(3)) == 0
  assert queue.add(trials(3), again=True) == 1
  work(queue, lambda *_: 1.0, threading.Event())
  assert len(queue.names(TrialState.COMPLETE)) == 3


def test_bad_input_of_the_first_trial_ends_the_worker_and_loses_nothing(queue):
  queue.add(trials(2))

  def run(*_):
    raise InputError("the dataset is not prepared")

  with pytest.raises(InputError, match="not prepared"):
    work(queue, run, threading.Event())
  assert len(queue.names(TrialState.WAITING)) == 2


def test_workers_of_one_process_keep_the_filters_of_warnings(sqlite, open_queue, monkeypatch):
  """What Optuna calls experimental warns of nothing, whichever thread comes out first."""
  entered = []

  def fail_stale_trials(study):
    entered.append(study)
    time.sleep(0.3 * len(entered))  # the first one leaves while the second one is inside
    warnings.warn("experimental", optuna.exceptions.ExperimentalWarning, stacklevel=2)

  monkeypatch.setattr(optuna.storages, "fail_stale_trials", fail_stale_trials)
  queues = [open_queue(sqlite) for _ in range(2)]
  with concurrent.futures.ThreadPoolExecutor(len(queues)) as pool:
    list(pool.map(lambda queue: queue.reclaim(), queues))
  assert len(entered) == 2


def test_a_stop_puts_the_trial_back(queue):
  stopping = threading.Event()
  queue.add(trials(2))

  def run(*_):
    stopping.set()
    raise StoppedError("asked to")

  with pytest.raises(StoppedError):
    work(queue, run, stopping)
  assert len(queue.names(TrialState.WAITING)) == 2


@pytest.mark.parametrize(
  ("storage", "message"),
  [
    ("nothing", "must be the URL of a database"),
    ("sqlite:////proc/none/queue.db", "must be a folder that can be written"),
    ("postgresql+psycopg://x@127.0.0.1:1/x", "must be the URL of a database that answers"),
    ("unknown://x", "must be the URL of a database"),
  ],
)
def test_a_database_that_is_none_is_one_line(storage, message):
  with pytest.raises(InputError, match=message) as caught:
    Queue(storage, "sweep")
  assert "\n" not in str(caught.value)


def test_a_database_that_is_lost_is_one_line(queue, tmp_path):
  queue.add(trials(1))
  queue.close()
  (tmp_path / "queue.db").write_bytes(b"nothing" * 1000)
  for use in (queue.states, queue.reclaim, lambda: queue.run_next(lambda *_: 1.0, ())):
    with pytest.raises(StorageError, match=r"the database of the sweep fails: .*not a database"):
      use()


def test_a_queue_that_must_be_there(sqlite):
  with pytest.raises(InputError, match="must have a queue of the sweep"):
    Queue(sqlite, "sweep", must_exist=True)
