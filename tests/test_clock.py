"""Where the time of a run goes: every second is counted once, over all starts."""

import json
import subprocess
import sys
import time
import types

import pytest
from etils import epath

from hornet_jax.errors import FullDiskError, InputError, StorageError
from hornet_jax.runs.clock import Clock


@pytest.fixture
def now(monkeypatch):
  """Seconds that pass only when a test says so."""
  clock = types.SimpleNamespace(value=1000.0)
  fake = types.SimpleNamespace(time=lambda: clock.value, perf_counter=lambda: clock.value)
  monkeypatch.setattr("hornet_jax.runs.clock.time", fake)
  return clock


def do_steps(clock, now, count, *, waiting=1.0, computing=3.0):
  for _ in range(count):
    with clock.waiting():
      now.value += waiting
    now.value += computing


def test_a_run_in_one_start(tmp_path, now):
  clock = Clock(epath.Path(tmp_path), 0, batch_size=8, peak_rate=10.0)
  now.value += 20  # compiles
  clock.start()
  do_steps(clock, now, 5)
  # 5 steps of 4 s in the 40 s since the start; 40 images in 20 s, a fifth of the peak.
  assert clock.read(5) == {
    "images_per_second": 2.0,
    "input_wait": 0.25,
    "goodput": 0.5,
    "mfu": 0.2,
  }
  with clock.paused():
    now.value += 60  # evaluates
  do_steps(clock, now, 5, waiting=0.0)
  # Each reading is of the steps since the last one, but goodput is of the run.
  expected = {"images_per_second": 8 * 5 / 15, "input_wait": 0.0, "goodput": 35 / 115}
  assert clock.read(10) == pytest.approx(expected | {"mfu": 8 * 5 / 15 / 10})


def test_steps_that_are_done_again_count_once(tmp_path, now):
  workdir = epath.Path(tmp_path)
  first = Clock(workdir, 0, batch_size=8)
  first.start()
  do_steps(first, now, 10)
  first.save(10)
  do_steps(first, now, 10)  # lost: the process is killed before it saves again
  now.value += 100  # no machine

  second = Clock(workdir, 10, batch_size=8)
  now.value += 20  # compiles again
  second.start()
  do_steps(second, now, 10)
  assert second.read(20) == {
    "images_per_second": 2.0,
    "input_wait": 0.25,
    "goodput": 80 / 240,
  }
  second.save(20)
  assert json.loads((tmp_path / "clock.json").read_text()) == {
    "started": 1000.0,
    "seconds_in_steps": {"10": 40.0, "20": 80.0},
  }


def test_a_start_that_saved_nothing_is_lost(tmp_path, now):
  workdir = epath.Path(tmp_path)
  lost = Clock(workdir, 0, batch_size=8)
  lost.start()
  do_steps(lost, now, 10)
  clock = Clock(workdir, 0, batch_size=8)
  clock.start()
  do_steps(clock, now, 10)
  assert clock.read(10)["goodput"] == 0.5


def test_falling_back_to_an_older_checkpoint(tmp_path, now):
  workdir = epath.Path(tmp_path)
  clock = Clock(workdir, 0, batch_size=8)
  clock.start()
  for step in (5, 10):
    do_steps(clock, now, 5)
    clock.save(step)
  clock = Clock(workdir, 5, batch_size=8)
  assert json.loads((tmp_path / "clock.json").read_text())["seconds_in_steps"] == {"5": 20.0}
  clock.start()
  do_steps(clock, now, 5)
  assert clock.read(10)["goodput"] == 40 / 60


def test_a_wall_clock_that_was_set_back_gives_no_more_than_all(tmp_path, now):
  workdir = epath.Path(tmp_path)
  (workdir / "clock.json").write_text('{"started": 2e9, "seconds_in_steps": {}}')
  clock = Clock(workdir, 0, batch_size=8)
  clock.start()
  do_steps(clock, now, 1)
  assert clock.read(1)["goodput"] == 1.0


def test_what_is_done_before_the_first_step_is_lost(tmp_path, now):
  """A run begins with its process, not with its first step, and its later starts belong to it."""
  clock = Clock(epath.Path(tmp_path), 0, batch_size=8, began=now.value - 43)
  clock.start()
  do_steps(clock, now, 10)
  clock.save(10)
  assert clock.read(10)["goodput"] == 40 / 83
  clock = Clock(epath.Path(tmp_path), 10, batch_size=8, began=now.value - 5)
  clock.start()
  do_steps(clock, now, 10)
  assert clock.read(20)["goodput"] == 80 / 123


def test_the_start_of_a_process_is_told():
  """By the system, to a hundredth of a second: before the first line of the program."""
  code = "import time; first = time.time()\n"
  code += "from hornet_jax.runs import clock; print(clock.process_start() - first)"
  before = time.time()
  child = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
  assert -(time.time() - before) < float(child.stdout) < 0.02


@pytest.mark.parametrize("content", ["", "garbage", "[]", '{"started": "x"}', '{"started": 5.0}'])
def test_times_that_cannot_be_read_end_no_run(tmp_path, now, caplog, content):
  (tmp_path / "clock.json").write_text(content)
  clock = Clock(epath.Path(tmp_path), 10, batch_size=8)
  assert "clock.json cannot be read, its times are lost" in caplog.text
  clock.start()
  do_steps(clock, now, 1)
  assert clock.read(11)["goodput"] == 1.0


@pytest.mark.parametrize("error", [StorageError("a."), FullDiskError("b."), InputError("c.")])
def test_times_that_cannot_be_written_end_no_run(tmp_path, now, monkeypatch, caplog, error):
  def fails(path, content):
    raise error

  monkeypatch.setattr("hornet_jax.runs.clock.write_file", fails)
  clock = Clock(epath.Path(tmp_path), 0, batch_size=8)
  clock.start()
  do_steps(clock, now, 10)
  clock.save(10)
  (line,) = caplog.messages
  assert line == f"{error} The run goes on without its times."
