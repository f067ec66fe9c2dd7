"""One run serves many lengths: trials wait for their trunk, and its steps are paid for once."""

import csv
import re
import signal
import subprocess
import sys
import threading

import pytest
from compiling import QUICK_FLAGS
from etils import epath
from optuna.trial import TrialState
from waiting import wait_for

from hornet_jax.checkpoints import manifest
from hornet_jax.cli.main import main
from hornet_jax.errors import InputError
from hornet_jax.runs.records import read_records
from hornet_jax.sweeps import ByWidth, Sweep, grid
from hornet_jax.sweeps.queue import AFTER, TRIAL, Queue
from hornet_jax.sweeps.status import describe_status, read_status
from hornet_jax.sweeps.sweep import load_sweep
from hornet_jax.sweeps.worker import BRANCH_STEP, FLOPS, LABEL, Trainer, work

STABLE = {
  "optimizer.schedule": "warmup_stable_decay",
  "optimizer.decay_fraction": 0.4,
  "ema.reference_steps": 0,
  "ema.decay": 0.5,
}


def sweep_of(points, data_dir, **fields):
  settings = {"data.data_dir": data_dir, "data.batch_size": 32, **STABLE}
  fields = {"settings": settings, "branching": True, **fields}
  arms = {"HorNet": ByWidth("hornet_nano_7x7", 16, 10)}
  return Sweep("digits:variant={variant},runlocal", arms, points, **fields)


def lengths(data_dir, passes, sizes=(16,), **fields):
  points = grid(arm=["HorNet"], size=sizes, passes=passes)
  return sweep_of(points, data_dir, **fields).trials()


def test_the_longest_of_each_size_is_the_trunk(data_dir):
  trials = lengths(data_dir, [1, 4, 2], sizes=[16, 24])
  assert [trial.label for trial in trials] == [
    *("HorNet, size 24, passes 4", "HorNet, size 16, passes 4"),
    *("HorNet, size 16, passes 2", "HorNet, size 16, passes 1"),
    *("HorNet, size 24, passes 2", "HorNet, size 24, passes 1"),
  ]
  by_label = {trial.label: trial for trial in trials}
  steps = trials[0].cost.steps // 4  # of a pass
  for size in (16, 24):
    trunk, *branches = (by_label[f"HorNet, size {size}, passes {n}"] for n in (4, 2, 1))
    assert trunk.trunk is None
    epochs = [branch.trial.settings["epochs"] for branch in reversed(branches)]
    assert trunk.trial.settings["checkpoint.branch_epochs"] == epochs
    for passes, branch in zip((2, 1), branches, strict=True):
      begin = passes * steps - round(0.4 * passes * steps)
      assert branch.trunk == (trunk.trial.name, begin)
      share = branch.spent_flops / branch.cost.flops
      assert share == pytest.approx(1 - begin / (passes * steps))
  # The learning rate of all grows for as long as that of the shortest does.
  shortest = min(trial.trial.settings["epochs"] for trial in trials)
  assert {t.trial.settings["optimizer.warmup_epochs"] for t in trials} == {0.1 * shortest}


def test_what_is_not_length_alone_has_a_trunk_of_its_own(data_dir):
  points = grid(arm=["HorNet"], size=[16], passes=[1, 2], seed=[0, 1], unique_images=[320, 640])
  trials = sweep_of(points, data_dir).trials()
  trunks = [trial for trial in trials if not trial.trunk]
  assert len(trials) == 8
  assert [trial.point["passes"] for trial in trunks] == [2] * 4
  assert {trial.trunk.trunk for trial in trials if trial.trunk} == {t.trial.name for t in trunks}


def test_a_trial_is_known_by_its_content_whatever_it_begins_with(data_dir):
  """So that a run of that length that is there already counts."""
  alone = lengths(data_dir, [1, 2], branching=False, warmup=0.0)
  together = lengths(data_dir, [1, 2], warmup=0.0)
  assert {trial.trial.name for trial in alone} == {trial.trial.name for trial in together}


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"settings": {"optimizer.schedule": "cosine"}}, "`branching` must come with .* got cosine"),
    ({"settings": {**STABLE, "ema.reference_steps": 100}}, r"`ema\.reference_steps` must be 0"),
    ({"warmup": 0.7}, "cool down after their learning rate has grown: HorNet, size 16, passes 1 "),
  ],
)
def test_runs_that_share_no_steps_are_refused(fields, message, data_dir):
  if "settings" in fields:
    fields = {"settings": {"data.data_dir": data_dir, "data.batch_size": 32, **fields["settings"]}}
  with pytest.raises(InputError, match=message):
    lengths(data_dir, [1, 2], **fields)


@pytest.fixture
def open_queue(tmp_path):
  opened = []

  def open_one():
    opened.append(Queue(f"sqlite:///{tmp_path}/queue.db", "sweep"))
    return opened[-1]

  yield open_one
  for queue in opened:
    queue.close()


def family(count=2):
  """A trunk and its branches, as the queue is given them."""
  common = {FLOPS: 10, LABEL: "some"}
  branches = {f"branch{i}": common | {AFTER: "trunk", BRANCH_STEP: i} for i in range(count)}
  return {"trunk": common} | branches


def test_no_branch_is_taken_before_its_trunk(open_queue):
  queue = open_queue()
  assert queue.add(family()) == 3
  assert queue.add(family()) == 0
  ran, stopping = [], threading.Event()

  def run(attributes, _):
    ran.append(attributes[TRIAL])
    if attributes[TRIAL] == "trunk":
      assert queue.names(TrialState.WAITING) == []
      assert sorted(queue.held()) == ["branch0", "branch1"]
    return 1.0

  work(queue, run, stopping)
  assert ran == ["trunk", "branch0", "branch1"]
  assert queue.held() == {}
  assert queue.add(family()) == 0


def test_a_branch_begins_while_its_trunk_runs_on(open_queue):
  """By a second worker, as soon as what it needs is there."""
  first, second = open_queue(), open_queue()
  first.add(family())
  is_there, stopping, done = threading.Event(), threading.Event(), threading.Event()
  ran = []

  def may_begin(attributes):
    return is_there.is_set() and attributes[BRANCH_STEP] == 0

  def run(attributes, _):
    name = attributes[TRIAL]
    ran.append(name)
    if name == "trunk":
      is_there.set()
      assert done.wait(30)
    elif name == "branch0":
      assert "branch1" in first.held()
      done.set()
    return 1.0

  workers = [
    threading.Thread(target=work, args=(queue, run, stopping, 0.05, may_begin))
    for queue in (first, second)
  ]
  for worker in workers:
    worker.start()
  for worker in workers:
    worker.join(60)
  assert ran == ["trunk", "branch0", "branch1"]
  assert len(first.names(TrialState.COMPLETE)) == 3


def test_branches_of_a_trunk_that_failed_wait_and_are_told(open_queue, tmp_path):
  queue = open_queue()
  queue.add(family() | {"other": {FLOPS: 10, LABEL: "other"}})

  def run(attributes, _):
    if attributes[TRIAL] == "trunk":
      raise RuntimeError("a defect")
    return 1.0

  before = read_status(queue, epath.Path(tmp_path))
  assert describe_status(before).startswith("4 trials: 2 waiting, 2 waiting for a trunk; time")
  work(queue, run, threading.Event())  # and does not wait for ever
  status = read_status(queue, epath.Path(tmp_path))
  assert status.is_over
  told = describe_status(status)
  assert told.startswith("4 trials: 1 complete, 1 failed, 2 waiting for a trunk that failed\n")
  assert queue.add(family(), again=True) == 1
  work(queue, lambda *_: 1.0, threading.Event())
  assert len(queue.names(TrialState.COMPLETE)) == 4


def test_a_branch_needs_a_whole_checkpoint(tmp_path):
  trainer = Trainer(epath.Path(tmp_path), tmp_path, threading.Event(), print)
  attributes = family()["branch1"]
  folder = epath.Path(tmp_path) / "trunk" / "checkpoints" / "1"
  assert not trainer.may_begin(family()["trunk"])
  assert not trainer.may_begin(attributes)
  (folder / "state").mkdir(parents=True)
  (folder / "state" / "array").write_text("numbers")
  assert not trainer.may_begin(attributes)  # of which the end is not written yet
  manifest.write_manifest(folder, 1)
  assert trainer.may_begin(attributes)
  (folder / "state" / "array").write_text("number")
  assert not trainer.may_begin(attributes)


FILE = """
from hornet_jax.sweeps import ByWidth, Sweep, grid

def get_sweep():
  return Sweep(
    config="digits:variant={{variant}},runlocal",
    arms={{"HorNet": ByWidth("hornet_nano_7x7", 16, 10)}},
    points=grid(arm=["HorNet"], size=[16], passes={passes}),
    settings={settings},
    warmup=0.0,
    branching={branching},
  )
"""
# What depends on the machine and the hour, and where a run began.
UNSTEADY = {"seconds", "images_per_second", "hardware", "started", "ended", "overrides"}
OF_BRANCHES = {"run", "branch_step"}


@pytest.fixture
def write_sweep(tmp_path, data_dir):
  def write(name, passes, branching):
    folder = tmp_path / name
    folder.mkdir()
    settings = {"data.data_dir": data_dir, "data.num_processes": 0, "data.batch_size": 64}
    settings |= {"checkpoint.every_steps": 4, "log.every_steps": 1, **STABLE}
    text = FILE.format(passes=passes, settings=settings, branching=branching)
    (folder / "sweep.py").write_text(text)
    return folder

  return write


def test_a_dry_run_shows_what_branches_save(write_sweep, capsys):
  folder = write_sweep("dry", [1, 2], branching=True)
  assert main(["sweep", "run", str(folder), "--dry_run"]) == 0
  lines = capsys.readouterr().out.splitlines()
  trunk, branch = load_sweep(folder).trials()
  step = branch.trunk.step
  assert re.match(r"trial .* FLOPs +to spend +branches off$", lines[0])
  assert lines[3].split()[0] == branch.trial.name
  assert lines[3].endswith(f"{trunk.trial.name} at step {step}")
  spent = trunk.cost.flops + branch.spent_flops
  whole = trunk.cost.flops + branch.cost.flops
  assert lines[-1].startswith(
    f"2 trials, {spent:.3g} FLOPs to spend in place of {whole:.3g}, {1 - spent / whole:.0%} less"
  )


def table(folder, trials, capsys):
  assert main(["sweep", "results", str(folder), f"--trials={trials}"]) == 0
  return list(csv.DictReader(capsys.readouterr().out.splitlines()))


def steady(rows):
  return [{k: v for k, v in row.items() if k not in UNSTEADY | OF_BRANCHES} for row in rows]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_branches_give_the_table_of_whole_runs(write_sweep, tmp_path, capsys, monkeypatch):
  """By two workers that are stopped meanwhile, with a length that is asked for later."""
  monkeypatch.setenv("XLA_FLAGS", QUICK_FLAGS)
  branched, whole = (write_sweep(name, [1, 2], name == "yes") for name in ("yes", "no"))
  trunk, branch = load_sweep(branched).trials()

  run = ["run", str(branched), f"--trials={tmp_path}/yes_trials", "--workers=2"]
  command = [sys.executable, "-m", "hornet_jax", "sweep", *run]
  process = subprocess.Popen(command)
  there = tmp_path / "yes_trials" / trunk.trial.name / "checkpoints"
  wait_for(lambda: list(there.glob("*/hornet_manifest.json")), process, seconds=300)
  process.send_signal(signal.SIGTERM)
  assert process.wait(300) == 75
  assert main(["sweep", *run]) == 0
  # One that its trunk, which is complete, does not know of.
  (branched / "sweep.py").write_text(
    (branched / "sweep.py").read_text().replace("[1, 2]", "[1, 1.5, 2]")
  )
  assert main(["sweep", *run]) == 0
  (whole / "sweep.py").write_text((whole / "sweep.py").read_text().replace("[1, 2]", "[1, 1.5, 2]"))
  assert main(["sweep", "run", str(whole), f"--trials={tmp_path}/no_trials"]) == 0
  capsys.readouterr()
  rows = table(branched, f"{tmp_path}/yes_trials", capsys)
  expected = table(whole, f"{tmp_path}/no_trials", capsys)
  assert steady(rows) == steady(expected)
  begins = {row["trial"]: (row["run"], row["branch_step"]) for row in rows}
  assert begins.pop(branch.trial.name) == (trunk.trial.name, str(branch.trunk.step))
  assert all(own == (name, "") for name, own in begins.items())
  records = read_records(epath.Path(tmp_path / "yes_trials" / branch.trial.name))
  assert records[0]["step"] == branch.trunk.step + 1
