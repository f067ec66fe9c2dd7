"""A few steps of an ImageNet config, from the command line."""

import re

import numpy as np
from etils import epath

from hornet_jax.cli.main import main
from hornet_jax.runs.records import read_records


def train_a_little(config, data_dir, workdir, capfd):
  """Six steps on the 200 generated images, and an evaluation on 50."""
  settings = {
    "data.data_dir": data_dir,
    "model.variant": "hornet_nano_gf",
    "data.image_size": 16,
    "epochs": 1,
    "optimizer.warmup_epochs": 0.5,
    "log.every_steps": 2,
    "mix.group_size": 4,  # on eight devices
  }
  overrides = [f"--config.{key}={value}" for key, value in settings.items()]
  command = ["train", f"--config=configs/{config},runlocal", f"--workdir={workdir}", *overrides]
  assert main(command) == 0
  assert re.search("images evaluated +50 *$", capfd.readouterr().out, re.M)
  losses = [r["train/loss"] for r in read_records(epath.Path(workdir)) if "train/loss" in r]
  assert len(losses) == 3
  assert np.isfinite(losses).all()
