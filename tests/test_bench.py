"""The benchmarks run; what they print is for people."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def test_input_benchmark_agrees_with_pillow_and_tf_data():
  """In a process of its own: TensorFlow stays out of this one."""
  child = subprocess.run(
    [sys.executable, "-m", "hornet_jax", "bench", "input", "--images=2", "--rounds=1"],
    cwd=ROOT,
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    check=True,
  )
  rows = [line.split("  ") for line in child.stdout.splitlines()]
  cells = {row[0]: [cell.strip() for cell in row if cell.strip()] for row in rows}
  for name, bound in (("ours", 0.1), ("ours, RandAugment", 0.1), ("tf.data, antialiased", 0.5)):
    assert float(cells[name][-1]) <= bound, child.stdout
  assert float(cells["tf.data"][-1]) > 0.5  # without antialiasing the views are others
  assert "cores like this one" in child.stdout
  assert child.stderr == ""
