"""The benchmarks run; what they print is for people."""

import os
import pathlib
import subprocess
import sys

from hornet_jax.bench.step import make_train_step
from hornet_jax.cli.main import main

ROOT = pathlib.Path(__file__).parents[1]


def test_step_benchmark_times_both_passes_by_implementation(capsys):
  sizes = ["--forward_batch=1", "--train_batch=1", "--rounds=1"]
  assert main(["bench", "step", "--variant=hornet_nano_7x7", *sizes]) == 0
  rows = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
  cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
  timed = {(row[0], row[1]): row[-1] for row in cells if len(row) == 6}
  for of in ("forward, batch 1", "train step, batch 1"):
    assert timed[of, "grouped"] == "1.00"
    assert float(timed[of, "auto"]) > 0


def test_the_timed_train_step_trains():
  step = make_train_step("hornet_nano_7x7", batch_size=2)
  losses = [float(step()[1]) for _ in range(8)]
  assert losses[-1] < losses[0]


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
