"""The record of a run survives restarts, kills, full disks and stores that fail."""

import contextlib
import json
import logging
import subprocess
import threading

import pytest
from etils import epath
from event_files import shown
from waiting import wait_for

from hornet_jax.runs import background, events, metrics, records
from hornet_jax.runs.growing_file import GrowingFile
from hornet_jax.runs.metrics import MetricsLog
from hornet_jax.runs.records import read_records


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
  monkeypatch.setattr("hornet_jax.files.PAUSES", (0.0, 0.0, 0.0))


@pytest.fixture
def store(monkeypatch, tmp_path):
  """A folder that counts as an object store: nothing may be appended to."""
  for module in ("records", "events", "growing_file"):
    monkeypatch.setattr(f"hornet_jax.runs.{module}.in_object_store", lambda path: True)
  return epath.Path(tmp_path)


def steps_of(workdir):
  return [record["step"] for record in read_records(workdir)]


def write_all(workdir, steps, start_step=0):
  with contextlib.closing(MetricsLog(workdir, start_step)) as log:
    for step in steps:
      log.write(step, {"train/loss": 1.0 / step})


class AtOnce:
  """Does the jobs in place of the thread: each line is a write of its own, as in a slow run."""

  def __init__(self, jobs):
    self._jobs = jobs

  def wake(self):
    for job in self._jobs:
      job()

  def close(self, seconds):
    return True


@pytest.fixture
def at_once(monkeypatch):
  monkeypatch.setattr(metrics, "Background", AtOnce)


def test_records_after_the_checkpoint_are_dropped(tmp_path):
  workdir = epath.Path(tmp_path)
  write_all(workdir, (10, 20, 30))
  write_all(workdir, (25,), start_step=20)
  assert steps_of(workdir) == [10, 20, 25]
  seconds = [record["seconds"] for record in read_records(workdir)]
  assert seconds == sorted(seconds)
  assert [step for step, _ in shown(tmp_path / "tensorboard")] == [10, 20, 25]


@pytest.mark.usefixtures("at_once")
def test_records_that_were_gone_back_behind_are_dropped(tmp_path):
  workdir = epath.Path(tmp_path)
  with contextlib.closing(MetricsLog(workdir, 0)) as log:
    for step in (1, 2, 3, 4):
      log.write(step, {"train/loss": 1.0})
    log.drop_after(2)
    log.write(3, {"train/loss": 0.5})
  assert steps_of(workdir) == [1, 2, 3]
  assert [step for step, _ in shown(tmp_path / "tensorboard")] == [1, 2, 3]


def test_a_line_that_a_kill_cut_off_is_left_out_and_then_cut_off(tmp_path, caplog):
  workdir, path = epath.Path(tmp_path), tmp_path / "metrics.jsonl"
  write_all(workdir, (1, 2))
  path.write_text(path.read_text() + '{"step": 3, "tra')
  assert steps_of(workdir) == [1, 2]
  write_all(workdir, (3,), start_step=2)
  assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]
  assert not caplog.text

  lines = path.read_text().splitlines(keepends=True)
  path.write_text(lines[0] + "\0\0\0\n" + lines[2])
  assert steps_of(workdir) == [1, 3]
  assert "metrics.jsonl: 1 lines are no records, and are left out" in caplog.text
  others = ['{"step": "2", "seconds": 1}\n', '{"step": 2, "seconds": null}\n', "[2]\n"]
  path.write_text(lines[0] + "".join(others) + lines[2])
  assert steps_of(workdir) == [1, 3]


@pytest.mark.usefixtures("at_once")
def test_a_disk_is_appended_to(tmp_path, monkeypatch):
  workdir = epath.Path(tmp_path)
  with contextlib.closing(MetricsLog(workdir, 0)) as log:
    before = (tmp_path / "metrics.jsonl").stat()
    monkeypatch.setattr("hornet_jax.runs.growing_file.write_file", None)
    for step in range(1, 50):
      log.write(step, {"train/loss": 1.0})
  assert (tmp_path / "metrics.jsonl").stat().st_ino == before.st_ino  # never replaced
  assert steps_of(workdir) == list(range(1, 50))


@pytest.mark.usefixtures("at_once")
def test_a_log_that_was_deleted_is_whole_again_with_the_next_line(tmp_path):
  workdir = epath.Path(tmp_path)
  with contextlib.closing(MetricsLog(workdir, 0)) as log:
    log.write(1, {"train/loss": 1.0})
    log.write(2, {"train/loss": 1.0})
    (tmp_path / "metrics.jsonl").unlink()
    log.write(3, {"train/loss": 1.0})
  assert steps_of(workdir) == [1, 2, 3]


@pytest.mark.usefixtures("at_once")
def test_in_a_store_only_a_part_is_rewritten(store, monkeypatch):
  monkeypatch.setattr(records, "SEGMENT", 1000)
  monkeypatch.setattr(events, "SEGMENT", 1000)
  write_all(store, range(1, 101))
  sizes = {path.name: len(path.read_bytes()) for path in store.glob("metrics*")}
  assert len(sizes) > 5
  assert max(sizes.values()) < 1100
  assert steps_of(store) == list(range(1, 101))
  newest = (store / "metrics.jsonl").read_text().splitlines()
  assert json.loads(newest[-1])["step"] == 100  # where a person looks
  event_files = list((store / "tensorboard").iterdir())
  assert max(len(path.read_bytes()) for path in event_files) < 1100
  assert [step for step, _ in shown(store / "tensorboard")] == list(range(1, 101))


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("start_step", [0, 3, 17, 18, 19, 60, 100])
def test_in_a_store_dropped_records_are_gone_from_every_part(store, monkeypatch, start_step):
  monkeypatch.setattr(records, "SEGMENT", 1000)
  write_all(store, range(1, 101))
  write_all(store, (101,), start_step)
  assert steps_of(store) == [*range(1, start_step + 1), 101]
  write_all(store, range(102, 140), start_step=101)
  assert steps_of(store) == [*range(1, start_step + 1), *range(101, 140)]


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("calls", range(6))
def test_in_a_store_a_kill_anywhere_leaves_the_records(store, monkeypatch, calls):
  """Whatever of a drop was done: what is to stay is there, once and in order."""
  monkeypatch.setattr(records, "SEGMENT", 1000)
  write_all(store, range(1, 101))
  left = [calls]

  def counted(act):
    def count(*arguments, **keywords):
      if not left[0]:
        raise KeyboardInterrupt
      left[0] -= 1
      return act(*arguments, **keywords)

    return count

  file = records.RecordFile(store)
  with monkeypatch.context() as killed, contextlib.suppress(KeyboardInterrupt):
    killed.setattr(type(store), "unlink", counted(type(store).unlink))
    killed.setattr("hornet_jax.runs.growing_file.write_file", counted(records.write_file))
    file.save(file.records[:30])
  found = steps_of(store)
  assert found[:30] == list(range(1, 31))
  assert found == sorted(set(found))


def test_a_move_that_was_killed_is_no_second_copy(store, monkeypatch):
  write_all(store, (1, 2, 3))
  (store / "metrics-00000.jsonl").write_text((store / "metrics.jsonl").read_text())
  assert steps_of(store) == [1, 2, 3]


@pytest.mark.parametrize(
  "failure",
  [
    ConnectionResetError(104, "Connection reset by peer"),
    PermissionError(13, "no"),
    ValueError("x"),
  ],
)
def test_no_failure_of_a_line_ends_a_run(tmp_path, monkeypatch, caplog, failure):
  workdir = epath.Path(tmp_path)
  append = GrowingFile._append
  broken = threading.Event()
  broken.set()

  def fails(self, data):
    if broken.is_set():
      raise failure
    append(self, data)

  monkeypatch.setattr("hornet_jax.runs.growing_file.GrowingFile._append", fails)
  with caplog.at_level(logging.WARNING, "hornet_jax"):
    log = MetricsLog(workdir, 0)
    wait_for((tmp_path / "metrics.jsonl").exists)
    for step in (1, 2, 3):
      log.write(step, {"train/loss": 0.5})
      wait_for(lambda: caplog.text.count("The run goes on") == 2)
    broken.clear()
    log.write(4, {"train/loss": 0.5})
    log.close()
  assert [record["step"] for record in log.records] == [1, 2, 3, 4]
  assert steps_of(workdir) == [1, 2, 3, 4]
  assert [step for step, _ in shown(tmp_path / "tensorboard")] == [1, 2, 3, 4]
  said = [line for line in caplog.messages if "The run goes on" in line]
  assert len(said) == 2  # of each of the two files once


def test_writing_is_not_waited_for(tmp_path, monkeypatch, caplog):
  """A disk that never answers stops neither the loop nor, for long, its end."""
  awake, asleep = threading.Event(), threading.Event()

  def hangs(self, data):
    asleep.set()
    awake.wait()

  monkeypatch.setattr("hornet_jax.runs.growing_file.GrowingFile._append", hangs)
  monkeypatch.setattr(metrics, "_CLOSING", 0.1)
  log = MetricsLog(epath.Path(tmp_path), 0)
  wait_for((tmp_path / "metrics.jsonl").exists)
  log.write(1, {"train/loss": 0.5})
  asleep.wait()
  log.write(2, {"train/loss": 0.5})
  log.close()
  assert "metrics.jsonl lacks its last lines" in caplog.text
  awake.set()


def test_a_job_that_fails_leaves_the_others_alone(caplog):
  done = []

  def breaks():
    raise RuntimeError("broken.")

  work = background.Background([breaks, lambda: done.append(1)])
  assert not work.close(10.0)
  assert done == [1]
  assert "broken. The run goes on" in caplog.text


@pytest.fixture
def small_disk(tmp_path):
  """A disk of 400 kB."""
  folder = tmp_path / "disk"
  folder.mkdir()
  mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
  if subprocess.run(mount, check=False, capture_output=True).returncode:
    pytest.skip("a disk of its own cannot be mounted here")
  yield folder
  subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_ends_no_run_and_lines_come_later(small_disk, caplog):
  workdir, path = epath.Path(small_disk), small_disk / "metrics.jsonl"
  log = MetricsLog(workdir, start_step=0)
  log.write(1, {"train/loss": 3.0})
  wait_for(lambda: steps_of(workdir) and shown(small_disk / "tensorboard"))
  filler = small_disk / "filler"
  with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
    while True:
      file.write(b"0" * 4096)
  # More than what is left of the block that the line before is in.
  log.write(2, {f"train/{number}": 2.0 for number in range(1000)})
  wait_for(lambda: len(caplog.messages) == 2)
  told = "failed: the disk is full. Hint: make room. The run goes on"
  assert all(told in line for line in caplog.messages)
  assert {line.partition(" failed")[0] for line in caplog.messages} == {
    f"writing {path}",
    f"writing {next((small_disk / 'tensorboard').iterdir())}",
  }
  assert path.stat().st_size % 4096 == 0  # cut off in mid-line
  assert steps_of(workdir) == [1]
  filler.unlink()
  log.write(3, {"train/loss": 1.0})
  log.close()
  assert len(caplog.messages) == 2
  assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]
  assert len(shown(small_disk / "tensorboard")) == 1002
