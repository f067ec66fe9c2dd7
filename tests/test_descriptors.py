"""Datasets of more shards than files may be open at first."""

import contextlib
import os
import resource
import subprocess
import sys

import pytest
from many_shards import SHARDS, write_many_shards
from processes import CONFIG, ROOT, SMALL, overrides

from hornet_jax.data.datasets import open_split
from hornet_jax.data.descriptors import check_limit
from hornet_jax.errors import InputError
from hornet_jax.exit_status import PERSON


@pytest.fixture(scope="module")
def many_shards(data_dir, tmp_path_factory):
  return write_many_shards(data_dir, tmp_path_factory.mktemp("many"))


def run(hard, *arguments):
  """Under the usual soft limit."""
  limited = f'ulimit -Sn {min(1024, hard)} && ulimit -Hn {hard} && exec "$@"'
  return subprocess.run(
    ["sh", "-c", limited, "sh", sys.executable, *arguments],
    cwd=ROOT,
    env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/tests", "XLA_FLAGS": ""},
    capture_output=True,
    text=True,
    check=False,
  )


@pytest.fixture(scope="module")
def hard():
  hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
  if hard < 2048:
    pytest.skip(f"no more than {hard} files may be open here")
  return 2048


def test_shards_are_counted(many_shards, data_dir):
  assert open_split("digits", "train", many_shards).num_shards == SHARDS
  assert open_split("digits", "train[:50%]", many_shards).num_shards == SHARDS // 2
  assert open_split("digits", "train", data_dir).num_shards == 1


READ = """
import contextlib, multiprocessing, os, sys
from hornet_jax.data.views.augment import Augmentation
from hornet_jax.data.datasets import open_split
from hornet_jax.data.views.eval_view import EvalView
from hornet_jax.data.pipeline import train_batches
from hornet_jax.tasks import Classification

if __name__ == "__main__":
  split = open_split("digits", "train", sys.argv[1])
  task = Classification(10, EvalView(8, 1.0), Augmentation("padded"))
  settings = {"batch_size": 64, "seed": 0, "num_threads": 4, "num_processes": int(sys.argv[2])}
  batches = train_batches(split, task.load, task.schema, **settings)
  with contextlib.closing(batches):
    seen = set()
    while len(seen) < 1437:
      seen |= set(next(batches)["index"].tolist())
    readers = [child.pid for child in multiprocessing.active_children()] or [os.getpid()]
    print(*(len(os.listdir(f"/proc/{pid}/fd")) for pid in readers))
"""


@pytest.mark.parametrize("processes", [0, 1])
def test_all_shards_are_read_under_the_usual_soft_limit(many_shards, hard, tmp_path, processes):
  """In this process, and in one that it starts, which inherits the limit."""
  (tmp_path / "read.py").write_text(READ)
  child = run(hard, str(tmp_path / "read.py"), many_shards, str(processes))
  assert child.returncode == 0, child.stderr
  assert int(child.stdout) > 1024  # else the limit was not what is tested


@pytest.mark.usefixtures("hard")
def test_training_is_refused_before_anything_is_compiled(many_shards, tmp_path):
  """With one line, where even the hard limit is too low."""
  settings = overrides({**SMALL, "data.data_dir": many_shards})
  for command in (["train", f"--workdir={tmp_path / 'w'}"], ["doctor"]):
    child = run(1200, "-m", "hornet_jax", *command, f"--config={CONFIG}", *settings)
    assert child.returncode == PERSON
    lines = [line for line in (child.stdout + child.stderr).splitlines() if "open files" in line]
    assert len(lines) == 1, child.stderr
    assert "at least 1,357: digits/train has 1,100 shards" in lines[0]
    assert "the limit is 1,200. Hint: raise the hard limit" in lines[0]
    assert "Traceback" not in child.stderr
  assert not (tmp_path / "w").exists()


def test_what_one_process_needs():
  soft, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
  with contextlib.ExitStack() as stack:
    stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, limit))
    assert check_limit("a/train", 10, 1, 0).startswith("10 shards, ")
    most = limit - 256
    check_limit("a/train", most - 1, 1, 0)
    with pytest.raises(InputError, match="open files"):
      check_limit("a/train", most, 1, 0)
    check_limit("a/train", most, 1, 2)  # processes that read have limits of their own
    with pytest.raises(InputError, match="open files"):
      check_limit("a/train", most + 1, 1, 2)
