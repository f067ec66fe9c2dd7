"""The launchers that hold a slice tell "there is none" from "nobody knows", and ask nothing."""

import os
import pathlib
import signal
import subprocess

import clouds
import pytest
from launching import LAUNCH, ROOT, TRAIN, environment
from waiting import wait_for

CREDENTIALS = (
  "ERROR: (gcloud) You do not currently have an active account selected.\nPlease run:\n\n"
  "  $ gcloud auth login\n"
)
FAILURES = {
  "credentials": CREDENTIALS,
  "network": "ERROR: (gcloud) There was a problem refreshing auth tokens: connection refused\n",
  "permission": "ERROR: (gcloud) PERMISSION_DENIED: Required permission for 'projects/p/run-a'\n",
  # Not what was looked for.
  "project": "ERROR: (gcloud) The resource 'projects/p' was not found\n",
  "zone": "ERROR: (gcloud) NOT_FOUND: Zone 'z' was not found\n",
}


@pytest.fixture(params=clouds.SETTINGS)
def play(request, tmp_path):
  return clouds.Play(request.param, tmp_path)


@pytest.mark.parametrize("failure", FAILURES)
def test_a_first_look_that_fails_is_one_line_and_asks_for_nothing(play, failure):
  play.fail(9, FAILURES[failure])
  child, events = play("0@9")
  assert (child.returncode, events) == (2, [])
  line, rest = child.stderr.splitlines()
  assert "cannot look for run-a (exit status 1): ERROR: (gcloud) " in line
  assert line.strip().endswith(" ".join(FAILURES[failure].split()[2:]))
  assert rest.endswith("nothing was asked for")


def test_a_look_that_fails_later_is_not_a_slice_that_is_gone(play):
  """The same slice goes on, without another one and without a failure of its own."""
  (play.folder / "state").write_text("PROVISIONING\n")
  play.fail(0, CREDENTIALS)
  once = f'echo 2 >"{play.folder}/failing"'
  # The looks after the first start fail, twice.
  python = play.folder / "host" / "hornet-env" / "bin" / "python"
  python.write_text(python.read_text().replace("rm -f", f"{once}\nrm -f", 1))
  child, events = play("75@3", "0@9", KEEP="1", MAX_FAILURES="2")
  assert child.returncode == 0, child.stderr
  assert events == ["scp", "act", "act"]
  assert child.stderr.count("cannot look for run-a") == 2
  assert "in a row" not in child.stderr


def test_looks_that_fail_for_long_end_the_launcher_which_deletes_the_slice(play):
  (play.folder / "state").write_text("PROVISIONING\n")
  python = play.folder / "host" / "hornet-env" / "bin" / "python"
  blind = f'echo 99 >"{play.folder}/failing"'
  python.write_text(python.read_text().replace("rm -f", f"{blind}\nrm -f", 1))
  play.fail(0, CREDENTIALS)
  child, events = play("75@3", MAX_FAILURES="2")
  assert child.returncode == 1
  assert events == ["scp", "act", "delete"]
  assert "given up: what could not be looked for is above" in child.stderr


def test_a_bucket_that_cannot_be_read_is_not_a_run_that_has_not_begun(play):
  gcloud = play.folder / "bin" / "gcloud"
  text = gcloud.read_text()
  text = text.replace("The following URLs matched no objects", "gs://b not found: 404")
  gcloud.write_text(text)
  child, events = play("0@9")
  assert (child.returncode, events) == (2, [])
  assert "cannot look for gs://b/r/result.json" in child.stderr


def test_nothing_that_is_run_can_ask(play):
  """Not gcloud, by --quiet; not ssh, by BatchMode: for a host's key, a passphrase, a password."""
  child, events = play("75@3", "0@9")
  assert child.returncode == 0, child.stderr
  assert "act" in events
  lines = (play.folder / "commands").read_text().splitlines()
  gcloud = [subprocess.check_output(["bash", "-c", f"printf '%s\\0' {line}"]) for line in lines]
  gcloud = [printed.decode().split("\0")[:-1] for printed in gcloud]
  assert all("--quiet" in words for words in gcloud)
  for tool in ("ssh", "scp"):
    used = [words for words in gcloud if tool in words[:4]]
    assert used
    assert all(f"--{tool}-flag=-oBatchMode=yes" in words for words in used)
  # gcloud takes a new host's key and insists on it afterwards; "ask" would ask.
  assert not any("--strict-host-key-checking" in word for words in gcloud for word in words)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_connections_end_with_the_launcher(tmp_path, number):
  """Those of compute_engine.sh are in the background; Ctrl-C does not reach them by itself."""
  play = clouds.Play("compute_engine.sh", tmp_path)
  (tmp_path / "state").write_text("ACTIVE\n")
  # A shell cannot trap what was ignored at its start, as in a suite that runs in the background.
  command = ["env", "--default-signal=INT", "bash", str(LAUNCH / "compute_engine.sh")]
  command += ["run-a", "gs://b/r", *TRAIN]
  variables = environment(**play.variables("stays"))
  with subprocess.Popen(command, env=variables, cwd=ROOT, stderr=subprocess.DEVNULL) as launcher:
    training = tmp_path / "training"
    wait_for(lambda: training.exists() and training.read_text(), launcher)
    os.kill(launcher.pid, number)
    assert launcher.wait(timeout=60) != 0
  process = pathlib.Path("/proc") / training.read_text().strip()
  wait_for(lambda: not process.exists() or "\nState:\tZ" in (process / "status").read_text())
  assert "delete" not in play.events()
