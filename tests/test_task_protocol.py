"""A made-up task goes through the same loop, plan, evaluation and report as classification."""

import json
import re
import shutil

import jax
import numpy as np
import pytest
from etils import epath
from made_up_task import GRID, Negative, generated

from hornet_jax.checkpoints.newest_valid import load_variables
from hornet_jax.checkpoints.retention import find_steps
from hornet_jax.cli import config as config_flag
from hornet_jax.cli.main import main
from hornet_jax.cost.xla.compile_child import bytes_a_device
from hornet_jax.data.pipeline import eval_batches
from hornet_jax.errors import InputError
from hornet_jax.parallel.mesh import make_mesh
from hornet_jax.pretrained.model_io import load
from hornet_jax.report.template import render_template
from hornet_jax.tasks import Classification, get_task, register
from hornet_jax.train import task_registry as tasks
from hornet_jax.train.ranking import ranking_key
from hornet_jax.train.report import write_report
from hornet_jax.train.run import train
from hornet_jax.train.show_batches import show_batches
from hornet_jax.train.trainer import Trainer

SETTINGS = {
  "model.scan": False,
  "model.patch_size": 2,
  "data.image_size": 16,
  "data.batch_size": 16,
  "data.eval_batch_size": 16,
  "epochs": 2,
  "optimizer.warmup_epochs": 0.5,
  "optimizer.learning_rate": 1e-2,
  "ema.decay": 0.5,
  "ema.reference_steps": 0,
  "log.every_steps": 1,
  "eval.every_epochs": 1,
  "checkpoint.keep": 5,
}


@pytest.fixture(scope="module")
def config():
  overrides = [f"--config.{key}={value}" for key, value in SETTINGS.items()]
  config = config_flag.load("configs/digits.py:variant=nano_7x7", overrides)
  return {**config, "task": "negative"}


@pytest.fixture(scope="module", autouse=True)
def registered():
  """The made-up task and its data have names for the length of this file."""
  register("negative", Negative)
  splits = {"train": generated("discs/train", 48, 0), "test": generated("discs/test", 20, 1)}
  with pytest.MonkeyPatch.context() as patch:
    for opened in ("hornet_jax.train.input_pipeline", "hornet_jax.data.training_split"):
      patch.setattr(f"{opened}.open_split", lambda name, split, data_dir, target: splits[split])
      patch.setattr(f"{opened}.default_splits", lambda name, data_dir: ("train", "test"))
    yield
  del tasks._TASKS["negative"]


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
  """The workdir of a run of six steps, what it gave, and its page."""
  workdir = epath.Path(tmp_path_factory.mktemp("negative"))
  page = workdir / "report.html"
  devices = jax.devices()[:1]
  outcome = train(config, workdir, devices, lambda outcome: write_report(outcome, page, "train"))
  return workdir, outcome, page


def test_it_trains_and_is_evaluated(run):
  _, outcome, _ = run
  assert outcome.complete
  assert outcome.metric.count == 20  # padding does not count
  losses = [r["train/loss"] for r in outcome.records if "train/loss" in r]
  assert len(losses) == 6
  assert losses[-1] < losses[0]
  assert {"eval/r2", "eval/loss", "eval_ema/r2", "eval_ema/loss"} <= outcome.metrics.keys()


def test_statistics_move_and_checkpoints_are_ranked_by_its_metric(run):
  workdir, outcome, _ = run
  by = ranking_key(Negative)
  assert by == "eval_ema/r2"
  scores = {folder.step: folder.metrics[by] for folder in find_steps(workdir / "checkpoints")}
  assert set(scores) == {3, 6}
  best, raw, averaged = load_variables(workdir / "checkpoints", "best", by)
  assert best == max(scores, key=scores.__getitem__)
  mean = raw["batch_stats"]["head"]["norm"]["mean"]
  assert np.abs(mean).max() > 0
  np.testing.assert_array_equal(mean, averaged["batch_stats"]["head"]["norm"]["mean"])
  assert scores[6] == outcome.metrics[by]


def test_it_resumes_bit_for_bit(run, config, tmp_path):
  """A run that stood at step 3 ends as one that went through."""
  workdir, outcome, _ = run
  copied = epath.Path(tmp_path) / "run"
  (copied / "checkpoints").mkdir(parents=True)
  for name in ("config.json", "dataset.json"):
    (workdir / name).copy(copied / name)
  shutil.copytree(workdir / "checkpoints" / "3", copied / "checkpoints" / "3")
  again = train(config, copied, jax.devices()[:1])
  assert again.updated
  assert again.metrics == outcome.metrics
  first, second = (load_variables(path / "checkpoints") for path in (workdir, copied))
  jax.tree.map(np.testing.assert_array_equal, first, second)


def test_it_is_planned(config):
  trainer = Trainer(config, make_mesh(jax.devices()[:1], 1), num_classes=0, num_examples=48)
  trainer.check_batch()
  batch = trainer.abstract_batch()
  assert batch["negative"].shape == (16, GRID, GRID)
  assert bytes_a_device(batch) == 16 * (16 * 16 * 3 + 4 * GRID * GRID + 4 + 4)
  text = trainer.lower_train_step().as_text()
  assert f"tensor<16x{GRID}x{GRID}xf32>" in text


def test_the_command_evaluates(run, capfd):
  workdir, outcome, _ = run
  assert main(["evaluate", f"--workdir={workdir}", "--checkpoint=last", "--json"]) == 0
  result = json.loads(capfd.readouterr().out)
  assert result["ema"]["r2"] == pytest.approx(outcome.metrics["eval_ema/r2"], abs=1e-5)
  assert main(["checkpoint", "list", f"--workdir={workdir}"]) == 0
  printed = capfd.readouterr().out
  assert "R2, averaged" in printed
  assert f"{outcome.metrics['eval_ema/r2']:.4f}" in printed


def test_its_batches_are_shown(config):
  page = show_batches(config, "data show", num_batches=1, num_rows=3)
  assert "The first 3 of 16 rows of 1 training batches, as the model sees them." in page
  assert page.count("<figure") == 3


def test_a_classifier_is_not_what_it_trained(run):
  workdir, _, _ = run
  with pytest.raises(InputError, match="expected task classification, got 'negative'"):
    load(workdir)


def test_the_command_predicts(run, tmp_path, capfd):
  """An image of the split gets the map that the evaluation gave it."""
  workdir, outcome, _ = run
  example = generated("discs/test", 20, 1).source[3]
  image = tmp_path / "disc.png"
  image.write_bytes(example["image"])
  assert main(["predict", str(image), f"--workdir={workdir}", "--json"]) == 0
  (record,) = json.loads(capfd.readouterr().out)
  expected = np.concatenate(outcome.metric.values)[3].mean()
  assert record["mean"] == pytest.approx(float(expected), abs=1e-5)
  assert record["height"] == 16


def test_its_results_are_in_order(run):
  """Every map of the split, in its order; parts of them merge to the metric of all."""
  _, outcome, _ = run
  values, targets = (
    np.concatenate(maps) for maps in (outcome.metric.values, outcome.metric.targets)
  )
  assert values.shape == (20, GRID, GRID)
  source = generated("discs/test", 20, 1).source
  np.testing.assert_array_equal(targets, [example["negative"] for example in source])
  halves = [Negative.metric(None, None) for _ in range(2)]
  for half, rows in zip(halves, (slice(0, 12), slice(12, 20)), strict=True):
    half.update({"value": values[rows], "target": targets[rows]})
  merged = halves[0].merge(halves[1])
  assert merged.count == 20
  assert merged.compute()["r2"] == pytest.approx(outcome.metrics["eval_ema/r2"])


def test_the_page_shows_its_section(run):
  _, outcome, page = run
  text = page.read_text()
  assert '<section id="negative">' in text
  assert f"<td>{outcome.metrics['eval_ema/r2']:.3f}</td>" in text
  assert "Explained variance, EMA" in text
  assert "Confusions" not in text


def test_names():
  assert get_task("classification") is Classification
  register("negative", Negative)  # as a cell that runs twice
  with pytest.raises(InputError, match="a name that no task has, got 'negative'"):
    register("negative", Classification)
  with pytest.raises(InputError, match=r"'negativ'.*did you mean 'negative'"):
    get_task("negativ")


def test_a_primary_that_is_not_computed(config, tmp_path, monkeypatch):
  """It is told at the first evaluation, not when the best checkpoint is wanted."""
  monkeypatch.setattr(Negative, "primary", "wright")
  with pytest.raises(InputError, match=r"`primary` of Negative .*loss, r2, got 'wright'"):
    train(config, epath.Path(tmp_path / "w"), jax.devices()[:1])


class _OddLoad(Negative):
  """Loads what its schema does not say."""

  def load(self, example, rng):
    image = super().load(example, rng)["image"].astype(np.float32)
    return {"image": image, "mask": image}


class _OddLoss(Negative):
  """A loss of the whole batch."""

  def loss(self, outputs, inputs):
    return super().loss(outputs, inputs).mean()


class _OddPrediction(Negative):
  """A number of the whole batch among the results of examples."""

  def predict(self, forward, inputs):
    results = super().predict(forward, inputs)
    return {**results, "mean": results["value"].mean()}


def test_what_is_loaded_must_be_what_the_schema_says(config):
  task = _OddLoad.from_config(config, 0)
  batches = eval_batches(generated("discs/test", 4, 0), task.load, task.schema, batch_size=4)
  expected = (
    "'mask', which it does not name; 'image' of float32 [16, 16, 3] in place of uint8 "
    "[16, 16, 3]; no 'negative', for example 0 of discs/test"
  )
  with pytest.raises(InputError, match=re.escape(expected)):
    next(batches)


@pytest.mark.parametrize(
  ("task", "lower", "message"),
  [
    (_OddLoss, Trainer.lower_train_step, r"a task's loss .* expected the shape \[16\], got \[\]"),
    (
      _OddPrediction,
      lambda trainer: trainer.compile_eval_step(16, trainer.task.eval_schemas),
      r"a task's predict's 'mean' .* expected the shape \[16\], got \[\]",
    ),
  ],
)
def test_a_row_for_each_example(config, monkeypatch, task, lower, message):
  monkeypatch.setitem(tasks._TASKS, "negative", task)
  trainer = Trainer(config, make_mesh(jax.devices()[:1], 1), num_classes=0, num_examples=48)
  with pytest.raises(InputError, match=message):
    lower(trainer)


def test_a_section_of_its_own(tmp_path):
  template = tmp_path / "map.html.j2"
  template.write_text("<p>{{ it.text }}</p>")
  assert render_template(str(template), it={"text": "<bad>"}) == "<p>&lt;bad&gt;</p>"
