"""Twelve of the random faults; random_faults.py says how to see more."""

import os
import subprocess
import sys

import pytest
from processes import ROOT


@pytest.mark.slow
@pytest.mark.timeout(2700)
def test_random_faults_end_complete_or_in_one_line(data_dir):
  command = [sys.executable, "tests/random_faults.py", "--count=12", f"--data_dir={data_dir}"]
  child = subprocess.run(
    command,
    cwd=ROOT,
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    check=False,
  )
  assert child.returncode == 0, child.stdout + child.stderr
  assert child.stdout.count("\n") >= 12
