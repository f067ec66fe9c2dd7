"""What xpk and SkyPilot make of the launchers, by their own code: what runs on a host, how it ends,
and whether it is started again.
"""

import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess

import pytest
import yaml
from launching import ROOT, TRAIN, commands, environment, program
from waiting import wait_for

from hornet_jax import exit_status

pytestmark = pytest.mark.launch

XPK, SKY = shutil.which("xpk"), shutil.which("sky")
needs_xpk = pytest.mark.skipif(not XPK, reason="xpk is not installed; see .ci/launch")
needs_skypilot = pytest.mark.skipif(not SKY, reason="SkyPilot is not installed; see .ci/launch")

# How a process of `hornet train` ends -> whether it has to be started again.
ENDS = {
  f"exit {exit_status.BUG}": False,
  f"exit {exit_status.PERSON}": False,
  f"exit {exit_status.AGAIN}": True,
  "kill -KILL $$": True,
  "kill -ABRT $$": True,  # JAX's way to end where the first process is gone
}
SAVES_AT_SIGTERM = """
trap 'echo >>"$PLAY/signals"; sleep 0.3; exit 75' TERM
touch "$PLAY/started"
while :; do sleep 0.05; done
"""


@pytest.fixture
def on_host(tmp_path):
  """Runs a script as on a host where training does as told; returns the process."""
  python = 'printf "%s\\n" "$@" >"$PLAY/arguments"; ulimit -c 0; eval "$ACT"'
  program(tmp_path / "hornet-env" / "bin", "python", python)
  program(tmp_path / "bin", "python", python)
  program(tmp_path / "bin", "pip", "exit")
  path = program(tmp_path / "bin", "sleep", f"exec {shutil.which('sleep')} 0.05")
  (tmp_path / "sky_workdir").mkdir()

  started = []

  def start(command, act):
    variables = {"PLAY": str(tmp_path), "HOME": str(tmp_path), "PATH": path, "ACT": act}
    started.append(subprocess.Popen(command, env=environment(**variables), start_new_session=True))
    return started[-1]

  yield start
  for process in started:
    if process.poll() is None:
      os.killpg(process.pid, signal.SIGKILL)
      process.wait()


def end(process):
  return process.wait(timeout=60)


def end_by_sigterm(process, folder, send):
  wait_for((folder / "started").exists, process)
  send(process.pid, signal.SIGTERM)
  status = end(process)
  assert (folder / "signals").read_text() == "\n"  # a second one would end training at once
  return status


@pytest.fixture(scope="module", params=["v5litepod-256", "tpu7x-2x2x4"])
def jobset(request, tmp_path_factory):
  """The manifest that xpk makes of what xpk.sh runs."""
  folder = tmp_path_factory.mktemp("xpk")
  variables = {"CLUSTER": "c", "PROJECT": "p", "ZONE": "us-west4-a", "TPU_TYPE": request.param}
  create = commands("xpk.sh", "run-a", "gs://b/r", *TRAIN, **variables)[-1]
  code = pathlib.Path(next(w for w in create if w.startswith("--script-dir=")).partition("=")[2])
  code.mkdir()
  manifest = folder / "jobset.yaml"
  try:
    child = subprocess.run(
      [XPK, *create[1:], "--dry-run", "--skip-validation", f"--output-manifest-file={manifest}"],
      env=environment(HOME=str(folder)),
      cwd=folder,
      capture_output=True,
      text=True,
      check=False,
    )
  finally:
    code.rmdir()
  assert child.returncode == 0, child.stdout + child.stderr
  return yaml.safe_load(manifest.read_text())


def container(jobset):
  (job,) = jobset["spec"]["replicatedJobs"]
  (main,) = job["template"]["spec"]["template"]["spec"]["containers"]
  return main


def jobset_restarts(jobset, status):
  """Whether the rules of a manifest let JobSet start again after the exit status of a pod."""
  policy = jobset["spec"]["failurePolicy"]
  (job,) = jobset["spec"]["replicatedJobs"]
  pods = job["template"]["spec"]
  assert policy["rules"] == [{"action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}]
  assert pods["backoffLimit"] == 0  # it is JobSet that starts again, all pods at once
  (rule,) = pods["podFailurePolicy"]["rules"]
  on = rule["onExitCodes"]
  assert (rule["action"], on["operator"]) == ("FailJob", "NotIn")
  assert on["containerName"] == container(jobset)["name"]
  assert on["values"] == sorted(set(on["values"]))  # or Kubernetes refuses it
  return status in on["values"] and policy["maxRestarts"] > 0


@needs_xpk
@pytest.mark.parametrize(("act", "again"), ENDS.items())
def test_xpk_starts_again_what_a_new_start_mends(jobset, on_host, tmp_path, act, again):
  status = end(on_host(container(jobset)["command"], act))
  assert status != 0
  assert jobset_restarts(jobset, status) == again
  arguments = (tmp_path / "arguments").read_text().splitlines()
  assert arguments == ["-m", "hornet_jax", "train", "--workdir=gs://b/r", *TRAIN]


@needs_xpk
def test_xpk_takes_a_complete_run_as_complete(jobset, on_host):
  assert end(on_host(container(jobset)["command"], "exit 0")) == 0


@needs_xpk
def test_training_saves_when_kubernetes_stops_a_pod(jobset, on_host, tmp_path):
  """Only the first process of the container gets SIGTERM."""
  process = on_host(container(jobset)["command"], SAVES_AT_SIGTERM)
  assert end_by_sigterm(process, tmp_path, os.kill) == exit_status.AGAIN


@pytest.fixture(scope="module")
def skypilot(tmp_path_factory):
  """What SkyPilot makes of what skypilot.sh runs, given the exit statuses of hosts."""
  folder = tmp_path_factory.mktemp("skypilot")
  (launch,) = commands("skypilot.sh", "run-a", "gs://b/r", *TRAIN)
  assert launch[:3] == ["sky", "jobs", "launch"]

  @functools.cache
  def ask(*statuses):
    python = pathlib.Path(SKY).resolve().with_name("python")
    arguments = map(json.dumps, (launch[3:], *statuses))
    child = subprocess.run(
      [str(python), str(ROOT / "tests" / "skypilot_rules.py"), *arguments],
      env=environment(HOME=str(folder), SKYPILOT_DISABLE_USAGE_COLLECTION="1"),
      cwd=ROOT,
      capture_output=True,
      text=True,
      check=False,
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout.splitlines()[-1])

  return ask


@needs_skypilot
def test_skypilot_starts_again_what_a_new_start_mends(skypilot, on_host, tmp_path):
  answer = skypilot()
  assert answer["launch"] == {
    **{"name": "run-a", "use_spot": True, "yes": True, "detach_run": True}
  }
  statuses = []
  for act in ENDS:
    statuses.append(end(on_host(["bash", "-c", answer["run"]], act)))
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert arguments == ["-m", "hornet_jax", "train", "--workdir=gs://b/r", *TRAIN]
  assert 0 not in statuses
  # The host that ends first decides: SkyPilot kills the others and notes 137 for them.
  hosts = [(status, 137, 137) for status in statuses]
  assert skypilot(*hosts)["again"] == [[again] * 10 for again in ENDS.values()]


@needs_skypilot
def test_skypilot_takes_a_complete_run_as_complete(skypilot, on_host):
  assert end(on_host(["bash", "-c", skypilot()["run"]], "exit 0")) == 0


@needs_skypilot
def test_training_saves_when_a_machine_goes_down(skypilot, on_host, tmp_path):
  """Each process gets SIGTERM, the shell as well, which waits for the other."""
  process = on_host(["bash", "-c", skypilot()["run"]], SAVES_AT_SIGTERM)
  assert end_by_sigterm(process, tmp_path, os.killpg) == exit_status.AGAIN
