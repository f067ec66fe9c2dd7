"""A branch is, number for number, the run that had its length from the start."""

import json

import jax
import numpy as np
import pytest
from etils import epath

from hornet_jax.checkpoints.manager import Checkpoints
from hornet_jax.checkpoints.retention import find_steps
from hornet_jax.cli import config as config_flag
from hornet_jax.cli.main import main
from hornet_jax.errors import InputError
from hornet_jax.runs.records import read_records
from hornet_jax.runs.result import read_result
from hornet_jax.runs.rollback import Rollbacks, copy_rollbacks
from hornet_jax.train.run import train
from hornet_jax.train.set_up import set_up

ONE = jax.devices()[:1]
EPOCHS = 0.5  # 11 steps, of which the last 4 are the cool-down


@pytest.fixture(scope="module")
def load(data_dir):
  """The digits config, shrunk, with drop path and muP, whose state is saved and restored too."""

  def config(**overrides):
    settings = {
      "data.data_dir": data_dir,
      "data.image_size": 16,
      "data.crop_padding": 2,
      "model.fields": "base_dim=8, depths=(2,)",
      "model.drop_path_rate": 0.3,
      "ema.reference_steps": 0,
      "ema.decay": 0.5,
      "optimizer.schedule": "warmup_stable_decay",
      "optimizer.decay_fraction": 0.4,
      "optimizer.parametrization": "mup",
      "optimizer.base_width": 4,
      "optimizer.warmup_epochs": 0.1,
      "log.every_steps": 1,
      **overrides,
    }
    arguments = [f"--config.{key}={value}" for key, value in settings.items()]
    return config_flag.load("configs/digits.py:variant=convnext_iso_micro,runlocal", arguments)

  return config


@pytest.fixture(scope="module")
def trunk(load, tmp_path_factory):
  """A run of 22 steps that cools down after 13, with the checkpoint of step 7 kept."""
  workdir = epath.Path(tmp_path_factory.mktemp("runs") / "trunk")
  keeping = {"checkpoint.branch_epochs": (EPOCHS,), "checkpoint.keep": 1, "checkpoint.keep_best": 0}
  train(load(epochs=1.0, **keeping), workdir, ONE)
  return workdir


def losses(workdir):
  return {r["step"]: r["train/loss"] for r in read_records(workdir) if "train/loss" in r}


def restored(config, workdir):
  trainer, _ = set_up(config, ONE)
  with Checkpoints(workdir / "checkpoints", 1) as checkpoints:
    return checkpoints.restore(trainer.abstract_state())


@pytest.mark.slow
def test_a_branch_equals_the_run_of_its_length(load, trunk, tmp_path):
  assert [folder.step for folder in find_steps(trunk / "checkpoints")] == [7, 22]
  config = load(epochs=EPOCHS)
  branch, whole = epath.Path(tmp_path / "branch"), epath.Path(tmp_path / "whole")
  (branch / "checkpoints" / "7" / "state").mkdir(parents=True)  # of a start that was cut off
  train(config, branch, ONE, branch_from=trunk)
  train(config, whole, ONE)
  assert json.loads((branch / "branch.json").read_text()) == {"trunk": str(trunk), "step": 7}
  assert sorted(losses(branch)) == [8, 9, 10, 11]
  shared = {step: loss for step, loss in losses(trunk).items() if step <= 7}
  assert losses(whole) == shared | losses(branch)
  (step, of_branch), (_, of_whole) = restored(config, branch), restored(config, whole)
  assert step == 11
  jax.tree.map(np.testing.assert_array_equal, of_branch, of_whole)
  results = [read_result(workdir) for workdir in (branch, whole)]
  assert results[0].metrics == results[1].metrics
  assert results[0].config_hash == results[1].config_hash
  # The same command goes on, and another trunk is not taken for its own.
  assert train(config, branch, ONE, branch_from=trunk).complete
  with pytest.raises(InputError, match=r"must be new, or that of a branch of .*its trunk is none"):
    train(config, whole, ONE, branch_from=trunk)


@pytest.mark.parametrize(
  ("overrides", "message"),
  [
    (
      {"epochs": 0.6},
      r"must have a checkpoint of step 8, where a run of 0\.6 epochs .*: it has 7, 22\. Hint",
    ),
    ({"seed": 1, "optimizer.b1": 0.8}, r"same run but for its length: optimizer\.b1 was .*; seed"),
    ({"epochs": 2.0}, r"cools down itself after step 13: got a run that does after step 26"),
    ({"optimizer.schedule": "cosine"}, r"must come with optimizer\.schedule warmup_stable_decay"),
  ],
)
def test_what_is_no_branch(load, trunk, tmp_path, overrides, message):
  workdir = epath.Path(tmp_path / "branch")
  with pytest.raises(InputError, match=message):
    train(load(**{"epochs": EPOCHS, **overrides}), workdir, ONE, branch_from=trunk)
  assert not workdir.exists()


def test_pruning_leaves_what_branches_need(trunk, capsys):
  assert main(["checkpoint", "prune", "--keep=1", f"--workdir={trunk}"]) == 0
  assert "kept: 7 (intact), 22 (intact)" in capsys.readouterr().out


def test_branches_outside_of_the_constant_are_refused(load):
  with pytest.raises(InputError, match=r"until step 13, got 1\.5 epochs, step 20"):
    set_up(load(epochs=1.0, **{"checkpoint.branch_epochs": (EPOCHS, 1.5)}), ONE)


def test_rollbacks_before_the_branch_are_its_own(tmp_path):
  trunk, branch = epath.Path(tmp_path / "trunk"), epath.Path(tmp_path / "branch")
  trunk.mkdir()
  branch.mkdir()
  done = [{"failed": 5, "restored": 3}, {"failed": 12, "restored": 10}]
  (trunk / "rollbacks.json").write_text(json.dumps(done))
  copy_rollbacks(trunk, branch, 10)
  assert Rollbacks(branch).done == done[:1]
