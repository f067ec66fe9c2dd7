"""The exit status and `result.json`, cause by cause, of real processes."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from compiling import QUICK_FLAGS
from etils import epath
from processes import ROOT
from small_tasks import TASKS
from waiting import wait_for

from hornet_jax.cli.main import main
from hornet_jax.errors import (
  DivergedError,
  FullDiskError,
  InputError,
  LostPeerError,
  StalledError,
  StorageError,
)
from hornet_jax.exit_status import describe, exit_status
from hornet_jax.lock import Lock
from hornet_jax.runs.result import Ending, config_hash, read_result, recorded


@pytest.mark.parametrize(
  ("error", "status"),
  [
    (InputError("x"), 2),
    (DivergedError("x", 3), 2),
    (FullDiskError("x"), 2),
    (StorageError("x"), 75),
    (StalledError("x"), 75),
    (LostPeerError("x"), 75),
    (KeyboardInterrupt(), 130),
    (RuntimeError("x"), 1),
    (OSError("x"), 1),
  ],
)
def test_table(error, status):
  assert exit_status(error) == status
  expected = {1: f"{type(error).__name__}: x", 130: "interrupted"}.get(status, "x")
  assert describe(error) == expected


def test_result_says_how_it_ended(tmp_path):
  workdir, config = epath.Path(tmp_path), {"seed": 0, "model": {"a": 1.5}}
  assert read_result(workdir) is None
  with recorded(workdir, config, 10, Lock()) as ending:
    assert isinstance(ending, Ending)
    ending.saved_step, ending.metrics = (lambda: 10), {"eval/top1": 0.5}
  result = read_result(workdir)
  assert (result.complete, result.step, result.total_steps, result.exit_status) == (True, 10, 10, 0)
  assert result.metrics == {"eval/top1": 0.5}
  assert result.config_hash == config_hash({"model": {"a": 1.5}, "seed": 0})
  assert result.config_hash != config_hash({"model": {"a": 1.5}, "seed": 1})
  with recorded(workdir, config, 10, Lock()) as ending:
    assert read_result(workdir) is None  # a run is under way
    ending.stopped = 75, "stopped by SIGTERM"
  result = read_result(workdir)
  assert (result.complete, result.exit_status, result.reason) == (False, 75, "stopped by SIGTERM")
  with pytest.raises(RuntimeError), recorded(workdir, config, 10, Lock()):
    raise RuntimeError("a defect")
  result = read_result(workdir)
  assert (result.exit_status, result.reason) == (1, "RuntimeError: a defect")
  (tmp_path / "result.json").write_text("{}")
  with pytest.raises(InputError, match=r"result.json must be the result of a run"):
    read_result(workdir)


def test_who_lost_the_workdir_leaves_no_result(tmp_path, caplog):
  class Lost(Lock):
    def check(self):
      raise InputError("another took it over")

  with pytest.raises(StalledError), recorded(epath.Path(tmp_path), {}, 10, Lost()):
    raise StalledError("no batch")
  assert not list(tmp_path.iterdir())
  assert "another took it over" in caplog.text


@pytest.fixture(scope="module")
def command(prepared, tmp_path_factory):
  """Starts a command with a fault; what is compiled is compiled once."""
  cache = tmp_path_factory.mktemp("cache")
  started = []

  def start(workdir, fault="none", small=TASKS["classification"], **settings):
    settings = small.overrides(prepared(small), **{"mix.rate": 0.0, **settings})
    arguments = ["train", f"--config={small.config}", f"--workdir={workdir}", *settings]
    process = subprocess.Popen(
      [sys.executable, "tests/faulty_run.py", fault, *arguments],
      cwd=ROOT,
      env={
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{ROOT}/tests",
        "XLA_FLAGS": QUICK_FLAGS,
        "JAX_ENABLE_COMPILATION_CACHE": "true",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
      },
      stderr=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )
    started.append(process)
    return process

  yield start
  for process in started:
    process.kill()
    process.communicate()


def ended(process):
  """(exit status, last line of what it printed as an error)."""
  _, error = process.communicate(timeout=300)
  return process.returncode, (error.splitlines() or [""])[-1]


CAUSES = {
  "stall": (75, {"data.stall_seconds": 20.0}, r"error: the next batch must come within", 6),
  "storage": (75, {}, r"error: the checkpoint of step 22 could not be saved .*reset by peer", 0),
  "storage for a while": (0, {}, "", 22),
  "full disk": (2, {"checkpoint.every_steps": 5}, r"error: .* the disk is full\..*Hint: make", 0),
  "rights": (2, {"checkpoint.every_steps": 5}, r"error: .*step 5 .*Permission denied.*Hint:", 0),
  "diverge": (2, {"optimizer.max_skipped_steps": 3}, r"error: step 9 must give finite numbers", 0),
  "bug": (1, {}, "RuntimeError: a defect", 0),
}


# What stops a run knows nothing of its task; what a task computes breaks down in its own way.
FAULTS = [
  *((next(iter(TASKS)), fault) for fault in CAUSES),
  *((name, "diverge") for name in list(TASKS)[1:]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fault"), FAULTS)
def test_faults_end_by_the_table(name, fault, command, tmp_path):
  expected, settings, line, saved = CAUSES[fault]
  status, last = ended(command(tmp_path, fault, TASKS[name], **settings))
  assert status == expected, last
  assert re.search(line, last), last
  result = json.loads((tmp_path / "result.json").read_text())
  assert result["exit_status"] == expected
  assert (result["complete"], result["step"], result["total_steps"]) == (saved == 22, saved, 22)
  if expected:
    assert result["reason"] in last
  assert (tmp_path / "report.html").exists() == result["complete"]


STOPS = {signal.SIGTERM: (75, "SIGTERM"), signal.SIGINT: (130, "Ctrl-C")}


@pytest.mark.slow
@pytest.mark.parametrize("number", STOPS, ids=lambda n: n.name)
def test_a_stop_is_saved_and_goes_on(number, command, tmp_path):
  settings = {"epochs": 60.0, "checkpoint.every_steps": 5}
  run = command(tmp_path, "slow", **settings)
  wait_for((tmp_path / "checkpoints" / "5").exists, run)
  if number == signal.SIGTERM:
    # Meanwhile another one is told who is at it, and leaves all as it is.
    status, last = ended(command(tmp_path, **settings))
    assert status == 2
    assert re.search(rf"must be written by one process at a time: process {run.pid} on ", last)
  run.send_signal(number)
  status, _ = ended(run)
  expected, by = STOPS[number]
  assert status == expected
  result = json.loads((tmp_path / "result.json").read_text())
  assert result["reason"] == f"stopped by {by}, saved after step {result['step']}"
  assert (result["complete"], result["exit_status"]) == (False, expected)

  settings["epochs"] = (result["step"] + 1) / 22
  process = command(tmp_path, **settings)
  _, error = process.communicate(timeout=300)
  assert process.returncode == 0, error
  assert f"going on after step {result['step']} of" in error
  assert json.loads((tmp_path / "result.json").read_text())["complete"]


@pytest.mark.parametrize("name", ["lr=[0.1,0.2]", "a*b", "what?", r"a\b"])
def test_a_path_that_does_not_work_is_refused_at_once(name, prepared, tmp_path, capsys):
  small, workdir = TASKS["classification"], tmp_path / name
  settings = small.overrides(prepared(small))
  assert main(["train", f"--config={small.config}", f"--workdir={workdir}", *settings]) == 2
  expected = "`workdir` must be a path without any of * ? [ ] \\: got"
  assert expected in capsys.readouterr().err
  assert not workdir.exists()


@pytest.mark.slow
def test_any_other_path_works(command, tmp_path):
  workdir = tmp_path / "a b, ü#%20;{1}|'\n"
  status, last = ended(command(workdir))
  assert status == 0, last
  verify = [sys.executable, "-m", "hornet_jax", "checkpoint", "verify", f"--workdir={workdir}"]
  child = subprocess.run(verify, cwd=ROOT, capture_output=True, text=True, check=True)
  assert child.stdout == "step 22: intact\n"
