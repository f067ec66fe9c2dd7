"""What holds of every task: there is one loop, one set of commands and one plan for all of them."""

import json
import re
import shutil
import signal

import jax
import numpy as np
import pytest
from etils import epath
from processes import STEPS, start
from small_tasks import STEPS_PER_EPOCH, TASKS

from hornet_jax.checkpoints.newest_valid import load_params, load_variables
from hornet_jax.checkpoints.retention import find_steps
from hornet_jax.cli import config as config_flag
from hornet_jax.cli.main import main
from hornet_jax.errors import DivergedError
from hornet_jax.parallel.mesh import batch_sharding, to_devices
from hornet_jax.tasks import get_task
from hornet_jax.train.input_pipeline import InputPipeline
from hornet_jax.train.ranking import ranking_key
from hornet_jax.train.report import write_report
from hornet_jax.train.run import train
from hornet_jax.train.set_up import set_up

pytestmark = pytest.mark.usefixtures("nobody_is_left")

FOUR_STEPS = {"epochs": 4 / STEPS_PER_EPOCH, "checkpoint__every_steps": 2, "checkpoint__keep": 5}
OF_EVERY_REPORT = {"curves", "kernels", "filters", "stages", "made"}


@pytest.fixture(scope="module", params=TASKS)
def small(request):
  """The experiment of a task."""
  return TASKS[request.param]


@pytest.fixture(scope="module")
def folder(small, prepared):
  """Where its data are prepared."""
  return prepared(small)


@pytest.fixture(scope="module")
def load(small, folder):
  return lambda **settings: config_flag.load(small.config, small.overrides(folder, **settings))


@pytest.fixture(scope="module")
def run(load, tmp_path_factory):
  """The workdir of four steps on one device, and what they gave."""
  workdir = epath.Path(tmp_path_factory.mktemp("run"))
  page = workdir / "report.html"
  devices = jax.devices()[:1]
  return workdir, train(
    load(**FOUR_STEPS), workdir, devices, lambda outcome: write_report(outcome, page, "train")
  )


def assert_equal_runs(*workdirs):
  """The newest parameters, averages and statistics are the same bits."""
  first, second = (load_variables(epath.Path(path) / "checkpoints") for path in workdirs)
  jax.tree.map(np.testing.assert_array_equal, first, second)


def test_it_is_trained_ranked_and_reported(run):
  workdir, outcome = run
  task = outcome.trainer.task
  losses = [record["train/loss"] for record in outcome.records if "train/loss" in record]
  assert len(set(losses)) == 4
  assert np.isfinite(losses).all()
  scored = [folder for folder in find_steps(workdir / "checkpoints") if folder.metrics]
  assert [folder.metrics[ranking_key(task)] for folder in scored] == [
    outcome.metrics[ranking_key(task)]
  ]
  page = (workdir / "report.html").read_text()
  sections = re.findall(r'<section id="(\w+)">', page)
  assert set(sections) > {"curves", "made"}
  assert set(sections) - OF_EVERY_REPORT  # its own
  assert {f"eval_ema/{score.name}" for score in task.scores} <= outcome.metrics.keys()


def test_it_resumes_bit_for_bit(run, load, tmp_path):
  """A run that stood at step 2 ends as one that went through."""
  workdir, outcome = run
  (tmp_path / "checkpoints").mkdir()
  for name in ("config.json", "dataset.json"):
    shutil.copy(workdir / name, tmp_path / name)
  shutil.copytree(workdir / "checkpoints" / "2", tmp_path / "checkpoints" / "2")
  again = train(load(**FOUR_STEPS), epath.Path(tmp_path), jax.devices()[:1])
  assert again.metrics == outcome.metrics
  assert_equal_runs(workdir, tmp_path)


def test_the_command_evaluates(run, capfd):
  workdir, outcome = run
  assert main(["evaluate", f"--workdir={workdir}", "--checkpoint=last", "--json"]) == 0
  found = json.loads(capfd.readouterr().out)["ema"]
  for score in outcome.trainer.task.scores:
    expected = outcome.metrics[f"eval_ema/{score.name}"]
    assert found[score.name] == pytest.approx(expected, abs=1e-4), score.name


def test_the_doctor_finds_nothing_wrong(small, folder, tmp_path, capfd):
  arguments = [f"--config={small.config}", *small.overrides(folder), f"--workdir={tmp_path}"]
  assert main(["doctor", *arguments]) == 0
  printed = capfd.readouterr().out
  for check in ("config", "devices", "data", "workdir", "collective"):
    assert re.search(rf"^ok    .*\b{check}: ", printed, re.M), printed


def test_what_breaks_down_stops_before_damage(load, tmp_path, monkeypatch):
  read = InputPipeline.train_batches

  def poisoned(self, start_step):
    for step, batch in enumerate(read(self, start_step), start_step + 1):
      yield {**batch, "weight": np.full_like(batch["weight"], np.nan)} if step > 1 else batch

  monkeypatch.setattr(InputPipeline, "train_batches", poisoned)
  config = load(**FOUR_STEPS, optimizer__max_skipped_steps=2)
  with pytest.raises(DivergedError, match=r"step 3 must .*in a row: 2\. .* is step 2\."):
    train(config, epath.Path(tmp_path), jax.devices()[:1])
  step, *trees = load_params(epath.Path(tmp_path) / "checkpoints")
  assert step == 2  # whose update was left out
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(trees))


@pytest.mark.slow
def test_killed_and_gone_on_bit_for_bit(prepared, tmp_path):
  """What a kill leaves behind is of no task; how each resumes: `test_it_resumes_bit_for_bit`."""
  small = TASKS["classification"]
  folder = prepared(small)

  def end(workdir, **variables):
    settings = small.overrides(folder, epochs=8 / STEPS_PER_EPOCH, checkpoint__every_steps=2)
    arguments = [f"--config={small.config}", f"--workdir={workdir}", *settings]
    script = ["tests/processes.py", "train", f"{workdir}.ledger", *arguments]
    [process] = start(script, devices=1, cache=tmp_path / "cache", variables=variables)
    output = process.communicate(timeout=600)[0]
    return process.returncode, output

  assert end(tmp_path / "peaceful")[0] == 0
  assert end(tmp_path / "killed", KILL_AT="0:6")[0] == -signal.SIGKILL
  assert not (tmp_path / "killed" / "result.json").exists()
  status, output = end(tmp_path / "killed")
  assert status == 0, output
  assert re.search(r"going on after step [24] of 8", output), output
  assert_equal_runs(tmp_path / "peaceful", tmp_path / "killed")


@pytest.mark.slow
def test_two_processes_equal_one(small, folder, tmp_path):
  """Losses, every result of an evaluation, and what the model keeps beside its parameters."""
  own = {"mix.rate": 0.0, "data.eval_batch_size": 8, "optimizer.learning_rate": 1e-3}
  settings = small.overrides(folder, **own)
  found = []
  for count in (1, 2):
    case = [{"config": small.config, "overrides": settings, "evaluated": True}]
    script = ["tests/processes.py", "losses", str(tmp_path / f"of{count}"), json.dumps(case)]
    for process in start(script, count, devices=1, cache=tmp_path / "cache"):
      output = process.communicate(timeout=600)[0]
      assert process.returncode == 0, output
    found += json.loads((tmp_path / f"of{count}").read_text())
  one, two = found
  assert (one["processes"], two["processes"]) == (1, 2)
  assert two["examples"] == one["examples"]
  assert len(set(one["losses"])) == STEPS
  exact = slice(small.exact_steps)
  np.testing.assert_allclose(two["losses"][exact], one["losses"][exact], rtol=1e-4)
  np.testing.assert_allclose(two["losses"], one["losses"], rtol=0.05)
  np.testing.assert_allclose(two["model_state"], one["model_state"], rtol=1e-3, atol=1e-5)
  assert two["metrics"].keys() == one["metrics"].keys()
  if "loss" in one["metrics"]:
    assert two["metrics"]["loss"] == pytest.approx(one["metrics"]["loss"], rel=1e-3)
  for name, value in one["metrics"].items():
    assert two["metrics"][name] == pytest.approx(value, abs=0.05), name


@pytest.mark.slow
def test_two_devices_equal_one(load):
  """The same state after two steps, statistics of the global batch included."""
  states = []
  for devices in (jax.devices()[:1], jax.devices()[:2]):
    trainer, inputs = set_up(load(mix__rate=0.0, optimizer__clip_norm=0.0), devices)
    state, step = trainer.create_state(), trainer.compile_train_step()
    batches, rows = inputs.train_batches(0), trainer.config["data"]["batch_size"]
    for _ in range(2):
      batch = to_devices(next(batches), rows, batch_sharding(trainer.mesh))
      state, metrics = step(state, batch)
    assert np.isfinite(float(metrics["loss"]))
    states.append(jax.tree_util.tree_leaves_with_path(jax.device_get(state.variables())))
    batches.close()
  for (path, one), (_, many) in zip(*states, strict=True):
    np.testing.assert_allclose(one, many, rtol=2e-4, atol=2e-5, err_msg=str(path))


@pytest.mark.plan
def test_it_is_planned(small, folder, capsys, monkeypatch, tmp_path):
  """The real compiler: the memory, what is sent and a range for the time of a step."""
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  arguments = [f"--config={small.config}", *small.overrides(folder, model__scan=True)]
  assert main(["plan", *arguments, "--topology=v5e:2x4", "--batch=2"]) == 0
  printed = capsys.readouterr().out
  assert "mesh 8x1, 2 images" in printed
  assert re.search(r"^fits: [\d.]+ of 15.75 GiB$", printed, re.M)
  assert re.search(r"^all-reduce +\d+ +[\d.]+$", printed, re.M)
  assert re.search(r"^ +step +[\d.]+ ms +not known$", printed, re.M)


def test_every_task_is_in_the_table():
  from hornet_jax.train.task_registry import _TASKS

  assert {name for name in _TASKS if get_task(name).__module__.startswith("hornet_jax.")} == set(
    TASKS
  )
