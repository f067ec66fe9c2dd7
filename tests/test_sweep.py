"""The trials of a sweep, what they cost, and their table, however often the work is interrupted."""

import csv
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from compiling import QUICK_FLAGS
from waiting import wait_for

from hornet_jax.cli.main import main
from hornet_jax.errors import InputError
from hornet_jax.sweeps import (
  ByDepth,
  ByImageSize,
  ByWidth,
  Sweep,
  grid,
  isoflop,
  random_points,
  star,
)
from hornet_jax.sweeps.sweep import load_sweep

ROOT = pathlib.Path(__file__).parents[1]
FILE = """
from hornet_jax.sweeps import ByWidth, Sweep, grid

def get_sweep():
  return Sweep(
    config="digits:variant={{variant}},runlocal",
    arms={{"HorNet": ByWidth("hornet_nano_7x7", 16, 10)}},
    points=grid(arm=["HorNet"], size={sizes}, passes=[{passes}], seed={seeds}),
    settings={settings},
  )
"""
SETTINGS = {
  "data.data_dir": "",
  "data.num_processes": 0,
  "data.batch_size": 64,
  "checkpoint.every_steps": 4,
  "log.every_steps": 1,
}
# What depends on the machine and the hour.
UNSTEADY = {"seconds", "images_per_second", "hardware", "started", "ended"}


def sweep_of(points, data_dir, **fields):
  settings = {"data.data_dir": data_dir, "data.batch_size": 32}
  config = "digits:variant={variant},runlocal"
  arms = {"HorNet": ByWidth("hornet_nano_7x7", 16, 10)}
  return Sweep(config, arms, points, settings=settings, **fields)


def test_a_grid_has_all_and_a_star_one_at_a_time():
  assert grid(size=[1, 2], seed=[0, 1]) == [
    *({"size": 1, "seed": 0}, {"size": 1, "seed": 1}),
    *({"size": 2, "seed": 0}, {"size": 2, "seed": 1}),
  ]
  assert star({"size": 2, "seed": 0, "arm": "a"}, size=[1, 2, 4], seed=[0, 1]) == [
    {"size": 2, "seed": 0, "arm": "a"},
    {"size": 1, "seed": 0, "arm": "a"},
    {"size": 4, "seed": 0, "arm": "a"},
    {"size": 2, "seed": 1, "arm": "a"},
  ]


def test_random_points_are_the_same_for_a_seed_and_the_first_of_more():
  ranges = {"images_seen": (1000, 100_000), "optimizer.learning_rate": (1e-4, 1e-2)}
  few = random_points(20, 7, ranges, arm=["a", "b"])
  assert random_points(30, 7, ranges, arm=["a", "b"])[:20] == few
  assert random_points(20, 8, ranges, arm=["a", "b"]) != few
  assert {point["arm"] for point in few} == {"a", "b"}
  assert all(isinstance(point["images_seen"], int) for point in few)
  assert all(1e-4 <= point["optimizer.learning_rate"] <= 1e-2 for point in few)
  below = sum(point["images_seen"] < 10_000 for point in random_points(400, 0, ranges))
  assert 160 < below < 240  # half of them: on a logarithmic scale


@pytest.mark.parametrize(
  ("make", "message"),
  [
    (lambda: grid(size=[]), "axis `size` must be a sequence of values"),
    (lambda: grid(arm="HorNet"), "axis `arm` must be a sequence of values: got 'HorNet'"),
    (lambda: star({"size": 1}, seed=[0]), "`centre` must have a value of every axis: missing seed"),
    (lambda: random_points(1, 0, {"size": (4, 4)}), "range of `size` must go from a positive"),
  ],
)
def test_axes_that_are_none_are_refused(make, message):
  with pytest.raises(InputError, match=message):
    make()


def test_equal_budgets_are_spent_within_two_percent(data_dir):
  budget = 3e11
  points = grid(arm=["HorNet"], size=[16, 24, 32], flops=[budget, 2 * budget])
  trials = sweep_of(points, data_dir).trials()
  for trial in trials:
    assert trial.cost.flops == pytest.approx(trial.point["flops"], rel=0.02)
    assert trial.cost.flops == 6 * trial.cost.model.macs * trial.cost.images_seen
    settings = trial.trial.settings
    # What the trainer makes of it.
    steps = round(settings["epochs"] * (trial.cost.unique_images // 32), 6)
    assert steps == trial.cost.images_seen / 32
    assert settings["optimizer.warmup_epochs"] == pytest.approx(settings["epochs"] / 10)
  assert len({trial.cost.images_seen for trial in trials}) == len(trials)


def test_sizes_of_a_budget_lie_around_the_best_one(data_dir):
  rule = ByWidth("hornet_nano_7x7", 16, 10)
  budgets = [1e12, 4e12]

  def best(budget):
    return 40_000 * (budget / 1e12) ** 0.5

  points = isoflop("HorNet", rule, budgets, best, count=3, spread=4.0, seed=[0, 1])
  assert len(points) == 2 * 3 * 2
  for budget in budgets:
    widths = sorted({point["size"] for point in points if point["flops"] == budget})
    params = [rule.params_of(width) for width in widths]
    np.testing.assert_allclose(np.array(params) / best(budget), [0.25, 1, 4], rtol=0.4)
  for trial in sweep_of(points, data_dir).trials():
    assert trial.cost.flops == pytest.approx(trial.point["flops"], rel=0.02)
    assert trial.cost.model.params == rule.params_of(trial.point["size"])
  with pytest.raises(InputError, match="`best` must be sizes that there are"):
    isoflop("HorNet", rule, budgets, lambda budget: 10.0)


def test_sizes_are_widths_depths_or_image_sizes(data_dir):
  design = "hornet_nano_7x7:depths=(1, 2)"
  arms = {"width": ByWidth(design, 16, 10), "depth": ByDepth(design, 16, 10)}
  arms |= {"image": ByImageSize(design, 16, 10)}
  sizes = [("width", 24), ("depth", 6), ("image", 32)]
  points = [{"arm": arm, "size": size, "passes": 1} for arm, size in sizes]
  settings = {"data.data_dir": data_dir, "data.batch_size": 32}
  trials = Sweep("digits:variant={variant}", arms, points, settings=settings).trials()
  wide, deep, large = (trial.trial.settings for trial in trials)
  assert wide["model.fields"] == "base_dim=24, depths=(1, 2)"
  assert deep["model.fields"] == "depths=(2, 4)"
  assert (large["data.image_size"], wide["data.image_size"]) == (32, 16)


def test_trials_are_known_by_their_content(data_dir):
  points = grid(arm=["HorNet"], size=[16, 16, 24], passes=[2], seed=[0])
  trials = sweep_of(points, data_dir).trials()
  assert [trial.label for trial in trials] == [
    "HorNet, size 16, passes 2, seed 0",
    "HorNet, size 24, passes 2, seed 0",
  ]
  rate = {"HorNet": {"optimizer.learning_rate": 1e-3}}
  others = sweep_of(points, data_dir, of_arms=rate).trials()
  assert not {t.trial.name for t in trials} & {t.trial.name for t in others}
  assert trials[0].cost.model.params < trials[0].cost.model.params_with_head


@pytest.mark.parametrize(
  ("point", "message"),
  [
    ({"size": 16, "passes": 1}, "has no arm"),
    ({"arm": "HorNet", "passes": 1}, "has no size"),
    ({"arm": "HorNett", "size": 16, "passes": 1}, "did you mean 'HorNet'"),
    ({"arm": "HorNet", "size": 16}, "one of images_seen, passes, flops: .* has none"),
    ({"arm": "HorNet", "size": 16, "passes": 1, "flops": 1e9}, "has passes and flops"),
    ({"arm": "HorNet", "size": 16, "images_seen": 10}, "must be at least a step"),
    ({"arm": "HorNet", "size": 16, "flops": 1e9}, "spend a budget of FLOPs within 2%"),
    ({"arm": "HorNet", "size": 16, "passes": 1, "unique_images": 8}, "at least a batch"),
    ({"arm": "HorNet", "size": 16, "passes": 1, "unique_images": 10**6}, "at most the training"),
    ({"arm": "HorNet", "size": 15, "passes": 1}, "multiple of 2"),
    ({"arm": "HorNet", "size": 16, "passes": 1, "optimizer.rate": 1}, "overrides"),
  ],
)
def test_points_that_cannot_be_trained_are_refused(point, message, data_dir):
  with pytest.raises(InputError, match=message):
    sweep_of([point], data_dir).trials()


@pytest.fixture
def write_sweep(tmp_path, data_dir):
  """A function that writes a folder with a sweep and returns it."""

  def write(name, sizes, passes, seeds=(0,)):
    folder = tmp_path / name
    folder.mkdir()
    settings = SETTINGS | {"data.data_dir": data_dir}
    text = FILE.format(sizes=list(sizes), passes=passes, seeds=list(seeds), settings=settings)
    (folder / "sweep.py").write_text(text)
    return folder

  return write


def test_a_dry_run_prints_trials_and_what_they_cost(write_sweep, capsys):
  folder = write_sweep("dry", sizes=[16, 24], passes=2)
  assert main(["sweep", "run", str(folder), "--dry_run"]) == 0
  lines = capsys.readouterr().out.splitlines()
  assert re.match(r"trial +what +parameters +MACs +images seen +unique +FLOPs", lines[0])
  assert re.match(r"\w{12} +HorNet, size 16, passes 2, seed 0 +[\d,]+ ", lines[2])
  assert re.fullmatch(r"2 trials, \S+ FLOPs; parameters without the head", lines[-1])


@pytest.mark.parametrize("action", ["status", "results"])
def test_what_was_not_run_has_no_results(action, write_sweep, tmp_path, capsys):
  folder = write_sweep("none", sizes=[16], passes=1)
  assert main(["sweep", action, str(folder), f"--trials={tmp_path}/trials"]) == 2
  assert "must have a queue of the sweep none" in capsys.readouterr().err


def command(*arguments):
  return subprocess.Popen(
    [sys.executable, "-m", "hornet_jax", "sweep", *map(str, arguments)],
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    env={**os.environ, "XLA_FLAGS": QUICK_FLAGS},
  )


def finish(process, status=0):
  output = process.communicate(timeout=900)[0]
  assert process.returncode == status, output
  return output


def steady(text):
  """Rows without the columns that depend on the machine and the hour."""
  rows = csv.DictReader(text.splitlines())
  return [{k: v for k, v in row.items() if k not in UNSTEADY} for row in rows]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_sweep_that_is_killed_twice_gives_the_same_table(write_sweep, tmp_path, capsys):
  folder = write_sweep("killed", sizes=[16, 24], passes=1, seeds=[0, 1])
  calm, broken = (f"--trials={tmp_path}/{name}" for name in ("calm", "broken"))
  output = finish(command("run", folder, calm))
  assert "4 trials, 4 of them new in the queue" in output
  assert "4 trials: 4 complete" in output
  for number in range(2):
    worker = command("run", folder, broken)
    seen = set((tmp_path / "broken").glob("*/checkpoints/*/hornet_manifest.json"))

    def is_under_way(seen=seen):
      found = (tmp_path / "broken").glob("*/checkpoints/*/hornet_manifest.json")
      return bool(set(found) - seen)

    wait_for(is_under_way, worker, seconds=300)
    if number:
      _kill_trainings(tmp_path / "broken")  # as where the whole machine dies
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
  finish_both = [command("run", folder, broken) for _ in range(2)]
  outputs = [finish(process) for process in finish_both]
  assert all("4 trials: 4 complete" in output for output in outputs)
  assert main(["sweep", "results", str(folder), calm]) == 0
  expected = steady(capsys.readouterr().out)
  assert main(["sweep", "results", str(folder), broken, f"--out={tmp_path}/out.csv"]) == 0
  assert steady((tmp_path / "out.csv").read_text()) == expected
  assert [row["trial"] for row in expected] == sorted(row["trial"] for row in expected)
  assert all(row["arm"] == "HorNet" and float(row["loss"]) > 0 for row in expected)
  capsys.readouterr()
  assert main(["sweep", "status", str(folder), broken]) == 0
  assert capsys.readouterr().out == "4 trials: 4 complete\n"


def _kill_trainings(folder):
  for lock in folder.glob("*/run.lock"):
    owner = re.search(r"process (\d+)", lock.read_text())
    if owner:
      os.kill(int(owner[1]), signal.SIGKILL)


@pytest.mark.slow
def test_a_worker_that_is_asked_to_stop_saves_its_trial(write_sweep, tmp_path):
  folder = write_sweep("stopped", sizes=[16], passes=30)
  trials = tmp_path / "trials"
  worker = command("run", folder, f"--trials={trials}")
  wait_for(lambda: list(trials.glob("*/checkpoints/*/hornet_manifest.json")), worker, seconds=300)
  worker.send_signal(signal.SIGTERM)
  assert "the same command goes on" in finish(worker, status=75)
  (workdir,) = (path.parent for path in trials.glob("*/result.json"))
  result = json.loads((workdir / "result.json").read_text())
  assert (result["complete"], result["exit_status"]) == (False, 75)
  status = command("status", folder, f"--trials={trials}")
  assert "1 trial: 1 waiting" in finish(status)


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "points"), [("scaling", 72), ("scaling/imagenet22k", 33)])
def test_the_sweeps_of_the_project_have_their_points(folder, points):
  found = load_sweep(ROOT / "experiments" / folder)
  assert len({json.dumps(dict(point), sort_keys=True) for point in found.points}) == points
  largest = max(found.points, key=lambda point: point["size"])
  assert found.arms[largest["arm"]].params_of(largest["size"]) > 50_000
