"""`hornet checkpoint` on small checkpoints; `export` is in test_command_line.py."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from etils import epath
from small_checkpoints import make_state, orbax_fails

from hornet_jax.checkpoints.manager import Checkpoints
from hornet_jax.checkpoints.manifest import NAME, write_manifest
from hornet_jax.cli import config as config_flag
from hornet_jax.cli.main import main
from hornet_jax.runs.workdir import only_writer


@pytest.fixture
def workdir(tmp_path):
  """Of steps 1 to 5: 2 is the best, 4 damaged, 5 without a manifest."""
  with Checkpoints(epath.Path(tmp_path / "checkpoints"), 9) as checkpoints:
    for step, top1 in ((1, 0.5), (2, 0.9), (3, None), (4, 0.99), (5, None)):
      checkpoints.save(step, make_state(step), None if top1 is None else {"eval_ema/top1": top1})
  damaged = tmp_path / "checkpoints" / "4" / "state" / "_METADATA"
  damaged.write_bytes(b"[" + damaged.read_bytes()[1:])
  (tmp_path / "checkpoints" / "5" / "hornet_manifest.json").unlink()
  config = config_flag.load("digits", [])  # keeps the newest three and the best one
  (tmp_path / "config.json").write_text(json.dumps(config))
  dataset = {"examples": 2, "class_names": ["a", "b"]}
  (tmp_path / "dataset.json").write_text(json.dumps(dataset))
  return tmp_path


def run(capfd, workdir, action, *arguments):
  status = main(["checkpoint", action, f"--workdir={workdir}", *arguments])
  captured = capfd.readouterr()
  return status, captured.out.splitlines(), captured.err


def steps_of(workdir):
  return sorted(int(path.name) for path in (workdir / "checkpoints").iterdir())


def test_list(workdir, capfd):
  status, table, _ = run(capfd, workdir, "list")
  assert status == 0
  assert len(table) == 2 + 5
  assert "90.00 %" in table[3]
  assert table[5].endswith("best")  # the flipped byte is not seen by sizes: `verify` reads
  status, output, _ = run(capfd, workdir, "list", "--json")
  rows = {row["step"]: row for row in json.loads("\n".join(output))}
  states = {step: row["state"] for step, row in rows.items()}
  assert states == {1: "intact", 2: "intact", 3: "intact", 4: "intact", 5: "no manifest"}
  assert rows[5]["marks"] == ["last"]
  assert rows[2]["metrics"] == {"eval_ema/top1": 0.9}
  assert rows[1]["bytes"] > 4000
  assert rows[1]["saved"].startswith("20")


@orbax_fails
def test_verify(workdir, capfd, monkeypatch):
  status, output, _ = run(capfd, workdir, "verify")
  assert status == 2
  assert output == [
    "step 1: intact",
    "step 2: intact",
    "step 3: intact",
    "step 4: damaged: state/_METADATA: its SHA256 is not that of the manifest",
    "step 5: no manifest",
  ]
  # What is as it was written, but nothing that Orbax restores.
  folder = workdir / "checkpoints" / "3"
  for path in folder.rglob("d/*"):
    os.truncate(path, 100)
  (folder / NAME).unlink()
  write_manifest(epath.Path(folder), 3)
  status, output, _ = run(capfd, workdir, "verify", "--step=3")
  assert status == 2
  assert output[0].startswith("step 3: intact, but it cannot be restored: ")
  monkeypatch.chdir(workdir.parent)  # relative paths, too
  assert run(capfd, workdir.name, "verify", "--step=2")[:2] == (0, ["step 2: intact"])
  assert run(capfd, workdir, "verify", "--step=4")[0] == 2
  status, _, error = run(capfd, workdir, "verify", "--step=7")
  assert status == 2
  assert "expected one of 1, 2, 3, 4, 5, got '7'" in error


def test_prune(workdir, capfd):
  status, output, _ = run(capfd, workdir, "prune", "--keep=1", "--dry_run")
  assert status == 0
  assert output[0] == "would delete step 1 (intact)"
  assert steps_of(workdir) == [1, 2, 3, 4, 5]
  with only_writer(epath.Path(workdir)):
    status, _, error = run(capfd, workdir, "prune", "--keep=1")
  assert status == 2
  assert f"process {os.getpid()} on" in error
  status, output, _ = run(capfd, workdir, "prune", "--keep=1")
  assert output == [
    "deleted step 1 (intact)",
    "kept: 2 (intact), 3 (intact), 4 (damaged), 5 (no manifest)",
  ]
  assert steps_of(workdir) == [2, 3, 4, 5]
  status, output, _ = run(capfd, workdir, "prune", "--damaged")
  assert output[0] == "deleted step 4 (damaged)"
  assert steps_of(workdir) == [2, 3, 5]
  status, _, error = run(capfd, workdir, "prune", "--keep=0")
  assert status == 2
  assert "--keep must be at least 1: got 0" in error


def test_no_checkpoints_are_one_line(tmp_path, capfd):
  for action in ("list", "verify"):
    status, _, error = run(capfd, tmp_path, action)
    assert status == 2
    assert error.startswith("hornet: error: `workdir` must hold a checkpoint")
    assert error.count("\n") == 1


def test_whatever_is_broken_each_step_is_one_line(workdir, tmp_path):
  """In a process of its own: threads and coroutines of Orbax have nothing to say."""
  folders = {int(path.name): path for path in (workdir / "checkpoints").iterdir()}
  for folder in folders.values():
    (folder / "hornet_manifest.json").unlink(missing_ok=True)
    for path in folder.rglob("d/*"):
      os.truncate(path, 100)
  (folders[2] / "state" / "_METADATA").write_bytes(b"\x00garbage")
  (folders[3] / "state" / "manifest.ocdbt").write_bytes(b"garbage")
  child = subprocess.run(
    [sys.executable, "-m", "hornet_jax", "export", f"--workdir={workdir}", "--out=a.safetensors"],
    cwd=tmp_path,
    env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[1])},
    capture_output=True,
    text=True,
    check=False,
  )
  assert child.returncode == 2, child.stderr
  *told, refusal = child.stderr.splitlines()
  assert [line[:30] for line in told] == [
    f"checkpoint of step {step} left out:" for step in (5, 4, 3, 2, 1)
  ]
  assert refusal.startswith(f"hornet: error: {workdir}/checkpoints must hold a checkpoint")
  assert all(len(line) < 300 for line in told)
