"""Builds that are killed, by real signals: nothing goes on, nothing is deleted under a builder."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from etils import epath
from waiting import wait_for

from hornet_jax.cli.main import main
from hornet_jax.data.preparing.building import building, remove_incomplete
from hornet_jax.data.preparing.imagenet.generated import write_imagenet_archives
from hornet_jax.errors import InputError

ROOT = pathlib.Path(__file__).parents[1]


def is_running(pid):
  try:
    state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
  except OSError:
    return False
  return state != "Z"


def is_locked(folder):
  try:
    with building(epath.Path(folder)):
      return False
  except InputError:
    return True


@pytest.fixture
def flags(tmp_path):
  archives = tmp_path / "archives"
  archives.mkdir()
  write_imagenet_archives(archives)
  return [f"--archives={archives}", "--partial", f"--data_dir={tmp_path / 'data'}"]


@pytest.fixture
def halted(flags, tmp_path):
  """(process of the command, id of its builder), which stands still in the middle of its work."""
  command = [sys.executable, "-m", "hornet_jax", "prepare", "imagenet2012", *flags]
  # As under nohup: else the system ends a builder that stands still with its parent.
  command = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command]
  parent = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
  folder = tmp_path / "data" / "imagenet2012"
  wait_for(lambda: list(folder.glob("*incomplete*")) or parent.poll() is not None)
  children = pathlib.Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
  (builder,) = map(int, children.read_text().split())
  os.kill(builder, signal.SIGSTOP)
  assert list(folder.glob("*incomplete*"))
  yield parent, builder
  parent.kill()
  parent.communicate()
  if is_running(builder):
    os.kill(builder, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.skipif(not pathlib.Path("/proc/self/task").exists(), reason="finds children in /proc")
def test_a_killed_build_ends_and_is_cleared_away(halted, flags, tmp_path, capfd):
  parent, builder = halted
  prepare = ["prepare", "imagenet2012", *flags]
  assert main(prepare) == 2
  refused = capfd.readouterr().err.strip()
  assert refused.count("\n") == 0
  assert f"must be written by one process at a time: process {parent.pid} on " in refused
  opened = [os.readlink(f) for f in pathlib.Path(f"/proc/{builder}/fd").iterdir()]
  assert any(name.endswith("building.lock") for name in opened)
  parent.kill()
  parent.wait()  # the system lets the builder go on
  # A process counts as ended while its other threads still hold its files.
  wait_for(lambda: not is_running(builder) and not is_locked(tmp_path / "data" / "imagenet2012"))
  assert main(prepare) == 0
  printed = capfd.readouterr().out
  assert "removed what an interrupted build left in " in printed
  assert "imagenet2012/train: 200 images" in printed


@pytest.mark.skipif(not pathlib.Path("/proc/self/task").exists(), reason="finds children in /proc")
def test_sigterm_ends_the_builder(halted):
  parent, builder = halted
  parent.terminate()
  _, error = parent.communicate(timeout=60)
  assert error == "hornet: ended by SIGTERM\n"
  assert parent.returncode == 128 + signal.SIGTERM
  wait_for(lambda: not is_running(builder))


def test_a_lock_is_held_by_whoever_has_it_open(tmp_path):
  folder = epath.Path(tmp_path)
  with building(folder) as lock:
    child = subprocess.Popen(["sleep", "600"], pass_fds=lock.keep_open)
  with pytest.raises(InputError, match=f"process {os.getpid()} on .* holds "), building(folder):
    pass
  child.kill()
  child.wait()
  with building(folder):
    pass


def test_without_a_lock_what_was_written_lately_is_left_alone(tmp_path):
  path = tmp_path / "incomplete.ABC_1.0.0"
  path.mkdir()
  shard = path / "shard"
  shard.touch()
  folder = epath.Path(tmp_path)
  with pytest.raises(InputError, match=r"must not be in use: it was written to \d+ seconds ago"):
    remove_incomplete(folder, held=False)
  hours_ago = time.time() - 7200
  os.utime(shard, (hours_ago, hours_ago))
  assert remove_incomplete(folder, held=False) == [str(path)]
  assert not path.exists()
