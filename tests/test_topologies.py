"""Stopped and killed on one topology, gone on with on another: same batches, same losses."""

import itertools
import json
import os
import re
import signal

import numpy as np
import pytest
from etils import epath
from many_shards import SHARDS, write_many_shards
from processes import CONFIG, DEAD_PROXY, SMALL, overrides, start
from waiting import wait_for

from hornet_jax.runs.records import read_records
from hornet_jax.runs.result import read_result

pytestmark = pytest.mark.usefixtures("nobody_is_left")

STEPS = 132
# Processes, of four devices together; what ends them.
STARTS = [
  (2, signal.SIGTERM),
  (4, signal.SIGKILL),
  (1, signal.SIGTERM),
  (2, signal.SIGKILL),
  (1, None),
]


def ledger(folder, name, first):
  """Step -> rows of its batch, of all processes of a start that went on after `first`."""
  of_processes = []
  for path in folder.glob(f"{name}.*"):
    lines = path.read_text().splitlines(keepends=True)
    of_processes.append([json.loads(line) for line in lines if line.endswith("\n")])
  # Of those that were killed, one may be a step ahead.
  rows = zip(*of_processes, strict=False)
  return {first + i: sorted(itertools.chain(*parts)) for i, parts in enumerate(rows, 1)}


@pytest.mark.slow
@pytest.mark.timeout(2700)
def test_any_stop_on_any_topology_leaves_the_same_run(data_dir, tmp_path):
  shards = write_many_shards(data_dir, tmp_path / "data")
  assert SHARDS > 1024
  settings = {**SMALL, "data.data_dir": shards, "epochs": 6.0, "data.num_processes": 1}
  settings |= {"checkpoint.every_steps": 3, "log.every_steps": 1, "eval.every_epochs": 3.0}
  # A proxy that is none, and the usual number of files.
  variables = {"http_proxy": DEAD_PROXY, "https_proxy": DEAD_PROXY, "no_proxy": ""}

  def run(workdir, name, count):
    arguments = [f"--config={CONFIG}", f"--workdir={workdir}", *overrides(settings)]
    script = ["tests/processes.py", "train", str(tmp_path / name), *arguments]
    cache = tmp_path / "cache"
    return start(script, count, 4 // count, cache=cache, variables=variables, files=1024)

  def finish(processes):
    outputs = [process.communicate(timeout=600)[0] for process in processes]
    print(*outputs, sep="\n")  # whole, where an assertion fails
    return [process.returncode for process in processes], outputs

  peaceful = epath.Path(tmp_path / "peaceful")
  statuses, outputs = finish(run(peaceful, "peaceful", 1))
  assert statuses == [0], outputs
  expected = ledger(tmp_path, "peaceful", 0)
  assert list(expected) == list(range(1, STEPS + 1))

  workdir, seen = epath.Path(tmp_path / "broken"), {}
  for number, (count, stop) in enumerate(STARTS):
    processes = run(workdir, f"start{number}", count)
    if stop:
      before = max(seen, default=0)
      wait_for_step(processes, workdir, before + 4)
      os.kill(processes[-1].pid, stop)
    statuses, outputs = finish(processes)
    if stop == signal.SIGKILL:
      assert statuses == [75] * (count - 1) + [-9], outputs
    else:
      assert statuses == [75 if stop else 0] * count, outputs
    assert not any("Traceback" in output for output in outputs), outputs
    found = re.search(rf"going on after step (\d+) of {STEPS}", outputs[0])
    rows = ledger(tmp_path, f"start{number}", int(found[1]) if found else 0)
    assert rows, outputs
    seen |= rows
    assert rows == {step: expected[step] for step in rows}
  assert seen == expected
  assert read_result(workdir).complete
  losses = [
    [record["train/loss"] for record in read_records(folder) if "train/loss" in record]
    for folder in (peaceful, workdir)
  ]
  assert len(losses[0]) == STEPS
  np.testing.assert_allclose(losses[1], losses[0], rtol=0, atol=1e-6)


def wait_for_step(processes, workdir, step):
  """Returns once a checkpoint of at least so many steps is there."""

  def is_there():
    paths = workdir.glob("checkpoints/*/hornet_manifest.json")
    return any(int(path.parent.name) >= step for path in paths)

  wait_for(is_there, *processes, seconds=600)
