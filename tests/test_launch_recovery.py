"""The launchers start again what a new start mends, and nothing else.

No cluster is asked: programs of our own play gcloud and SLURM.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib

import clouds
import pytest
import yaml
from launching import LAUNCH, ROOT, TRAIN, bash, commands, program
from waiting import wait_for

from hornet_jax import exit_status


@pytest.fixture(params=clouds.SETTINGS)
def play(request, tmp_path):
  """Of both launchers that hold a slice."""
  return clouds.Play(request.param, tmp_path)


ONCE = ["create", "scp", "act"]


def test_a_slice_that_is_taken_away_is_asked_for_again(play):
  child, events = play("preempted", "75@3", "preempted", "0@9", MAX_FAILURES="0")
  assert child.returncode == 0, child.stderr
  # A run that was told to stop goes on where it was, with the code that is there.
  assert events == [*ONCE, "delete", *ONCE, "act", "delete", *ONCE, "delete"]
  assert "complete: gs://b/r/result.json" in child.stderr
  assert not (play.folder / "state").exists()


def test_a_complete_run_asks_for_nothing(play, tmp_path):
  (tmp_path / "result.json").write_text(json.dumps({"complete": True, "step": 9}, indent=2))
  child, events = play()
  assert (child.returncode, events) == (0, [])


def test_a_result_that_is_not_complete_is_gone_on_with(play, tmp_path):
  (tmp_path / "result.json").write_text('{"complete": false, "step": 3}')
  child, events = play("0@9")
  assert (child.returncode, events) == (0, [*ONCE, "delete"])


@pytest.mark.parametrize(
  ("act", "status", "said"),
  [(exit_status.PERSON, 2, "says what to do"), (exit_status.BUG, 1, "a bug")],
)
def test_what_would_fail_again_ends_at_once_and_deletes_the_slice(play, act, status, said):
  child, events = play(act, "0@9")
  assert (child.returncode, events) == (status, [*ONCE, "delete"])
  assert said in child.stderr
  assert not (play.folder / "state").exists()


def test_stops_that_lead_on_are_not_counted(play):
  stops = [f"{exit_status.AGAIN}@{step}" for step in range(1, 6)]
  child, events = play(*stops, "0@9", MAX_FAILURES="0", KEEP="1")
  assert child.returncode == 0, child.stderr
  assert events == [*ONCE, *["act"] * 5]


@pytest.mark.parametrize("act", ["75@3", "75", "134", "137", "143", "255"])
def test_what_leads_nowhere_is_not_paid_for_ever(play, act):
  """A store that always fails, a process that is killed again and again, a connection lost."""
  child, events = play("75@3", *[act] * 9, MAX_FAILURES="2")
  assert child.returncode == 1
  more = 1 if act == "75" else 0  # the step is not known: that may be progress, once
  assert events == ["create", "scp", *["act"] * (4 + more), "delete"]
  assert "given up" in child.stderr
  assert not (play.folder / "state").exists()


def test_failures_count_in_a_row_only(play):
  child, events = play("137", "75@3", "255", "75@6", "0@9", MAX_FAILURES="1", KEEP="1")
  assert child.returncode == 0, child.stderr
  assert events == [*ONCE, *["act"] * 4]


TRAINING = """
import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[-1])
def note(text):
  with (folder / "notes").open("a") as file:
    file.write(text + chr(10))
if (folder / "notes").exists():
  note("second begins")
  sys.exit(0)
def save(*_):
  time.sleep(0.5)
  note("first saved")
  sys.exit(75)
signal.signal(signal.SIGTERM, save)
note("first begins")
while True:
  time.sleep(1)
"""


@pytest.mark.skipif(not shutil.which("pkill"), reason="pkill is not installed")
def test_what_a_lost_connection_left_saves_before_the_next_start(tmp_path):
  host = tmp_path / "host"
  (host / "hornet-env" / "bin").mkdir(parents=True)
  (host / "hornet-env" / "bin" / "python").symlink_to(sys.executable)
  (host / "hornet" / "hornet_jax").mkdir(parents=True)
  (host / "hornet" / "hornet_jax" / "__init__.py").touch()  # found before ours
  (host / "hornet" / "hornet_jax" / "__main__.py").write_text(TRAINING)
  train = commands("tpu_vm.sh", "run-a", "gs://b/r", str(tmp_path))[-2]
  (text,) = (word.removeprefix("--command=") for word in train if word.startswith("--command="))
  environment = {**os.environ, "HOME": str(host)}
  with subprocess.Popen(["bash", "-c", text], env=environment) as first:
    wait_for((tmp_path / "notes").exists, first)
    second = subprocess.run(["bash", "-c", text], env=environment, timeout=60, check=False)
    assert (first.wait(timeout=60), second.returncode) == (75, 0)
  notes = (tmp_path / "notes").read_text().splitlines()
  assert notes == ["first begins", "first saved", "second begins"]


# What becomes of the tasks -> whether SLURM starts the job again.
SLURM = {
  exit_status.COMPLETE: False,
  exit_status.BUG: False,
  exit_status.PERSON: False,
  exit_status.AGAIN: True,
  exit_status.INTERRUPTED: False,
  128 + signal.SIGABRT: True,  # JAX's way to end where the first process is gone
  128 + signal.SIGKILL: True,
  128 + signal.SIGTERM: True,
}


def slurm(folder, status, **variables):
  """The exit status of the job, and whether it asks to be started again."""
  program(folder / "bin", "scontrol", 'echo "$*" >"$PLAY/requeued"')
  path = program(folder / "bin", "srun", f"exit {status}")
  variables |= {"PATH": path, "PLAY": str(folder), "SLURM_JOB_ID": "7"}
  child = bash("slurm.sbatch", str(folder / "w"), *TRAIN, check=False, **variables)
  requeued = folder / "requeued"
  if requeued.exists():
    assert requeued.read_text() == "requeue 7\n"
  return child.returncode, requeued.exists()


@pytest.mark.parametrize(("status", "again"), SLURM.items())
def test_slurm_starts_again_what_a_new_start_mends(tmp_path, status, again):
  assert slurm(tmp_path, status) == (status, again)


def test_slurm_does_not_start_for_ever(tmp_path):
  assert slurm(tmp_path, 137, SLURM_RESTART_COUNT="4", MAX_RESTARTS="5") == (137, True)
  (tmp_path / "requeued").unlink()
  assert slurm(tmp_path, 137, SLURM_RESTART_COUNT="5", MAX_RESTARTS="5") == (137, False)


def test_the_lists_of_exit_statuses_are_ours():
  """What xpk and SkyPilot make of them: test_launch_rules.py."""
  create = commands("xpk.sh", "run-a", "gs://b/r", *TRAIN, CLUSTER="c")[-1]
  assert f"--restart-on-exit-codes={exit_status.AGAIN}" in create
  task = yaml.safe_load((LAUNCH / "skypilot.yaml").read_text())
  recovery = task["resources"]["job_recovery"]
  assert recovery["recover_on_exit_codes"] == [exit_status.AGAIN]
  assert recovery["max_restarts_on_errors"] == 0


@pytest.mark.parametrize("launcher", ["hosts.sh", "xpk.sh", "skypilot.yaml"])
def test_what_a_bucket_needs_is_installed_in_the_versions_that_are_known_to_work(launcher):
  text = (LAUNCH / launcher).read_text()
  assert re.search(
    r"""install .*--editable (['"])\.\[prepare,gcs\]\1 -c constraints\.txt""", text, re.DOTALL
  )
  project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
  pinned = re.findall(r"^(\S+)==", (ROOT / "constraints.txt").read_text(), re.M)
  assert project["optional-dependencies"]["gcs"] == ["gcsfs"]
  assert set(project["optional-dependencies"]["gcs"]) <= set(pinned)


def test_jax_reads_the_tasks_of_slurm(monkeypatch):
  """On what slurm.sbatch relies: one process a task, with the GPU of its number on the node."""
  from jax._src.clusters import ClusterEnv

  variables = {
    **{"SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "gpu[03-04]", "SLURM_NTASKS": "16"},
    **{"SLURM_PROCID": "11", "SLURM_LOCALID": "3", "SLURM_STEP_NUM_NODES": "2"},
  }
  for name, value in variables.items():
    monkeypatch.setenv(name, value)
  found = ClusterEnv.auto_detect_unset_distributed_params(None, None, None, None, "slurm", 1)
  address, processes, process, devices = found
  assert address.startswith("gpu03:")
  assert (processes, process, list(devices)) == (16, 11, [3])
