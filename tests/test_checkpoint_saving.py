"""Saves that fail or are killed: the last good checkpoint stays, and the reason is one line."""

import contextlib
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from etils import epath
from small_checkpoints import abstract_of, assert_restores, lines, make_state, orbax_fails

from hornet_jax.checkpoints.manager import Checkpoints
from hornet_jax.checkpoints.newest_valid import load_params
from hornet_jax.checkpoints.restorable import is_restorable
from hornet_jax.errors import FullDiskError, InputError

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.parametrize("call", ["wait", "save"])
def test_a_failed_save_is_raised_by_the_next_call(call, tmp_path):
  """The folder is gone and a file in its place."""
  directory = tmp_path / "checkpoints"
  told = (
    r"of step 1 could not be saved in .*: .*Not a directory.*\. The last good checkpoint is none"
  )
  with Checkpoints(epath.Path(directory), 3) as checkpoints:
    directory.rmdir()
    directory.write_text("in the way")
    checkpoints.save(1, make_state(1))
    arguments = (2, make_state(2)) if call == "save" else ()
    with pytest.raises(InputError, match=told) as caught:
      getattr(checkpoints, call)(*arguments)
    assert "\n" not in str(caught.value)


@pytest.fixture
def small_disk(tmp_path, collected):
  """(folder on a disk of 4 MB, the error of a save that does not fit)."""
  folder = tmp_path / "disk"
  folder.mkdir()
  mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
  if subprocess.run(mount, check=False, capture_output=True).returncode == 0:
    yield folder, FullDiskError
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
  else:  # not allowed to mount: files that may not grow, which is a failed write as well
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, before[1]))
    yield folder, InputError
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@orbax_fails
def test_no_room_for_a_folder(small_disk):
  """Not even the folders of a step can be made: the save fails at once, and no thread waits."""
  folder, error = small_disk
  if error is not FullDiskError:
    pytest.skip("a disk of 4 MB cannot be mounted here; files that may not grow leave room")
  directory = folder / "checkpoints"
  with Checkpoints(epath.Path(directory), 1) as checkpoints:
    checkpoints.save(1, make_state(1))
    checkpoints.wait()
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
      while True:
        filler.write(b"0" * 4096)
    checkpoints.save(2, make_state(2))
    with pytest.raises(FullDiskError, match=r"of step 2 .* is step 1\."):
      checkpoints.wait()
  (folder / "filler").unlink()
  assert_restores(directory, 1)


@orbax_fails
def test_full_disk_stops_and_leaves_the_last_good_one(small_disk):
  folder, error = small_disk
  directory = folder / "checkpoints"
  with Checkpoints(epath.Path(directory), 1) as checkpoints:
    checkpoints.save(1, make_state(1))
    checkpoints.save(2, make_state(2, megabytes=8))
    with pytest.raises(
      error, match=r"of step 2 could not .*\. The last good .* is step 1\."
    ) as caught:
      checkpoints.save(3, make_state(3))
  assert "\n" not in str(caught.value)
  assert [path.name for path in directory.iterdir()] == ["1"]  # there is room again
  assert_restores(directory, 1)


@orbax_fails
def test_full_disk_goes_on_where_it_is_told_to(small_disk, caplog):
  folder, error = small_disk
  directory = epath.Path(folder / "checkpoints")
  with Checkpoints(directory, 1, on_full_disk="continue") as checkpoints:
    checkpoints.save(1, make_state(1))
    checkpoints.save(2, make_state(2, megabytes=8))
    with contextlib.nullcontext() if error is FullDiskError else pytest.raises(error):
      checkpoints.save(3, make_state(3))
    if error is FullDiskError:
      (line,) = lines(caplog)
      assert "of step 2 could not be saved" in line
      assert line.endswith("Going on, as checkpoint.on_full_disk says.")
      assert "the disk is full. The last good checkpoint is step 1. Hint" in line
      checkpoints.save(4, make_state(4, megabytes=8))
      with pytest.raises(FullDiskError, match=r"of step 4 .* is step 3\."):
        checkpoints.wait()  # the last save of a run must be there
      assert_restores(directory, 3)


KILLED = """
import sys
from etils import epath
from small_checkpoints import make_state
from hornet_jax.checkpoints.manager import Checkpoints

with Checkpoints(epath.Path(sys.argv[1]), 2) as checkpoints:
  for step in range(1, 1000):
    checkpoints.save(step, make_state(step % 2, megabytes=16))
"""


def test_kill_in_mid_save(tmp_path):
  directory = tmp_path / "checkpoints"
  child = subprocess.Popen(
    [sys.executable, "-c", KILLED, str(directory)],
    cwd=ROOT / "tests",
    env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
  )
  # A stopped process writes nothing: stop it until that is in the middle of a save.
  while not (unfinished := list(directory.glob("[2-9]*.orbax-checkpoint-tmp*"))):
    assert child.poll() is None
    time.sleep(0.001)
    with contextlib.suppress(FileNotFoundError):
      if unfinished := list(directory.glob("[2-9]*.orbax-checkpoint-tmp*")):
        child.send_signal(signal.SIGSTOP)
        time.sleep(0.01)
        if unfinished[0].exists():
          break
        child.send_signal(signal.SIGCONT)
  child.kill()
  child.wait()
  step = int(unfinished[0].name.partition(".")[0])
  assert unfinished[0].exists()
  assert not (directory / str(step)).exists()
  with Checkpoints(epath.Path(directory), 2) as checkpoints:
    expected = make_state((step - 1) % 2, megabytes=16)
    restored_step, restored = checkpoints.restore(abstract_of(expected))
  assert restored_step == step - 1
  jax.tree.map(np.testing.assert_array_equal, restored, expected)
  assert not list(directory.glob("*tmp*"))


@orbax_fails
def test_what_cannot_be_restored_does_not_count_as_saved(tmp_path, monkeypatch):
  """By another process where there are several, which must not count with them."""
  directory = epath.Path(tmp_path)
  with Checkpoints(directory, 3) as checkpoints:
    checkpoints.save(1, make_state(1))
    checkpoints.save(3, make_state(2))  # nothing but the first one is restored
  monkeypatch.setattr(jax, "process_count", lambda: 2)
  assert is_restorable(directory / "1")
  told = "its state is that of step 2"
  with pytest.raises(ValueError, match=told):
    is_restorable(directory / "3")
  monkeypatch.undo()
  with (
    pytest.raises(InputError, match=rf"of step 5 could not be saved .*: {told}\."),
    Checkpoints(directory, 3) as checkpoints,
  ):
    checkpoints.save(5, make_state(2))
  assert load_params(directory)[0] == 1
