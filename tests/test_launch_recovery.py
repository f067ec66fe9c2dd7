"""The launchers go on until a run is complete, and no longer.

No cluster is asked: programs of our own play gcloud and SLURM.
"""

import os
import signal
import subprocess
import sys
import time

import pytest
import yaml
from launching import LAUNCH, TRAIN, bash, program

FAKE_GCLOUD = r"""
echo "${*:1:5}" >>"$PLAY/log"
case "$*" in
  "storage ls "*) [ -e "$PLAY/report" ] ;;
  *" describe "*) [ ! -e "$PLAY/state" ] || cat "$PLAY/state"
    [ "$(cat "$PLAY/state" 2>/dev/null)" != PROVISIONING ] || echo ACTIVE >"$PLAY/state" ;;
  *" create "*) echo PROVISIONING >"$PLAY/state" ;;
  *" delete "*) rm "$PLAY/state" ;;
  *"hornet_jax train"*--workdir*)
    read -r act <"$PLAY/acts"
    sed -i 1d "$PLAY/acts"
    echo "act $act" >>"$PLAY/log"
    case $act in
      saved) ;;
      complete) touch "$PLAY/report" ;;
      preempted) echo SUSPENDED >"$PLAY/state"; exit 255 ;;
      broken) exit 1 ;;
    esac ;;
esac
"""


@pytest.fixture
def play(tmp_path):
  """tpu_vm.sh against a gcloud that lets each attempt to train end as told."""

  def run(*acts, **variables):
    (tmp_path / "acts").write_text("".join(f"{act}\n" for act in acts))
    path = program(tmp_path / "bin", "gcloud", FAKE_GCLOUD)
    variables = {"PATH": path, "PLAY": str(tmp_path), "POLL_SECONDS": "0"} | variables
    child = bash("tpu_vm.sh", "run-a", "gs://b/r", *TRAIN, check=False, **variables)
    log = (tmp_path / "log").read_text().splitlines()
    words = {"create", "delete", "scp", "act"}
    events = [word for line in log for word in line.split() if word in words]
    return child, events, tmp_path

  return run


def test_a_slice_that_is_taken_away_is_asked_for_again(play):
  child, events, folder = play("preempted", "saved", "preempted", "complete")
  assert child.returncode == 0, child.stderr
  once = ["create", "scp", "act"]
  # A run that was told to stop goes on where it was, with the code that is there.
  assert events == [*once, "delete", *once, "act", "delete", *once, "delete"]
  assert "complete: gs://b/r/report.html" in child.stderr
  assert not (folder / "state").exists()


def test_a_complete_run_asks_for_nothing(play, tmp_path):
  (tmp_path / "report").touch()
  child, events, _ = play()
  assert (child.returncode, events) == (0, [])


def test_a_run_that_fails_by_itself_does_not_pay_for_ever(play):
  child, events, folder = play(*["broken"] * 9, MAX_FAILURES="2")
  assert child.returncode == 1
  assert events == ["create", "scp", *["act"] * 3, "delete"]
  assert "given up" in child.stderr
  assert not (folder / "state").exists()


def test_failures_count_in_a_row_only(play):
  acts = ["broken", "saved", "broken", "saved", "complete"]
  child, events, _ = play(*acts, MAX_FAILURES="1", KEEP="1")
  assert child.returncode == 0
  assert events == ["create", "scp", *["act"] * 5]


# Exit statuses on which xpk 1.16.0 restarts: get_restart_exit_codes of its commands/workload.py.
XPK_RESTARTS = {42, *range(127, 256)}
ATTEMPT = [sys.executable, str(LAUNCH / "attempt.py"), "--patience=0.5"]


def attempt(workdir, body):
  command = ["bash", "-c", body, "body", str(workdir)]
  return subprocess.run([*ATTEMPT, str(workdir), *command], check=False).returncode


def test_one_attempt_says_how_it_ended(tmp_path):
  assert attempt(tmp_path, "true") == 42
  assert attempt(tmp_path, "exit 2") == 2
  assert attempt(tmp_path, "kill -KILL $$") == 137
  assert attempt(tmp_path, 'touch "$1/report.html"') == 0
  assert {42, 137} <= XPK_RESTARTS
  assert 2 not in XPK_RESTARTS  # a bad setting stays bad
  task = yaml.safe_load((LAUNCH / "skypilot.yaml").read_text())
  assert task["resources"]["job_recovery"]["recover_on_exit_codes"] == [42]


def test_an_attempt_waits_for_the_host_that_writes_the_report(tmp_path):
  assert attempt(tmp_path, '(sleep 0.3; touch "$1/report.html") & exit 0') == 0


COUNTS_SIGTERM = """
import pathlib, signal, sys, time
folder, count = pathlib.Path(sys.argv[1]), []
signal.signal(signal.SIGTERM, lambda *_: count.append(1))
(folder / "started").touch()
while not count:
  time.sleep(0.02)
time.sleep(0.5)  # saves; a second one would end a training process
(folder / "count").write_text(str(len(count)))
"""


@pytest.mark.parametrize("forward", [True, False])
def test_sigterm_reaches_the_command_once_and_means_again(tmp_path, forward):
  command = [str(tmp_path), sys.executable, "-c", COUNTS_SIGTERM, str(tmp_path)]
  process = subprocess.Popen(
    [*ATTEMPT, *["--forward_term"] * forward, "--patience=60", *command], start_new_session=True
  )
  while not (tmp_path / "started").exists():
    time.sleep(0.02)
  time.sleep(0.2)  # for the handler
  if forward:  # as Kubernetes: to the first process only
    process.send_signal(signal.SIGTERM)
  else:  # as a machine that shuts down: to all
    os.killpg(process.pid, signal.SIGTERM)
  assert process.wait(timeout=30) == 42
  assert (tmp_path / "count").read_text() == "1"


@pytest.mark.parametrize(
  ("srun", "status", "requeued"),
  [("true", 0, True), ("exit 3", 3, False), ('touch "$PLAY/w/report.html"', 0, False)],
  ids=["saved", "failed", "complete"],
)
def test_slurm_goes_on_until_complete(tmp_path, srun, status, requeued):
  (tmp_path / "w").mkdir()
  program(tmp_path / "bin", "scontrol", 'echo "$*" >"$PLAY/requeued"')
  path = program(tmp_path / "bin", "srun", srun)
  variables = {"PATH": path, "PLAY": str(tmp_path), "SLURM_JOB_ID": "7"}
  child = bash("slurm.sbatch", str(tmp_path / "w"), *TRAIN, check=False, **variables)
  assert child.returncode == status, child.stderr
  assert (tmp_path / "requeued").exists() == requeued
