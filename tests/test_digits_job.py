"""The promised job: one command to at least 98 % of the digits."""

import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.slow
def test_digits_reach_98_percent(tmp_path):
  environment = os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
  train = ["./hornet", "train", f"--workdir={tmp_path}"]
  subprocess.run(train, cwd=ROOT, env=environment, check=True)
  evaluate = ["./hornet", "evaluate", f"--workdir={tmp_path}", "--json"]
  result = subprocess.run(evaluate, cwd=ROOT, env=environment, check=True, capture_output=True)
  assert json.loads(result.stdout)["ema"]["top1"] >= 0.98
