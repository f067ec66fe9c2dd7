"""Training in this process: topology, compilation, divergence, evaluation."""

import dataclasses
import json
import logging
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from golden_data import assert_close

from hornet_jax.checkpoints.manager import Checkpoints
from hornet_jax.checkpoints.newest_valid import load_params
from hornet_jax.cli import config as config_flag
from hornet_jax.cost import PEAK_FLOPS, stage_costs
from hornet_jax.errors import DivergedError
from hornet_jax.parallel.mesh import batch_sharding, make_mesh, process_rows, to_devices
from hornet_jax.tasks.classification import example_results
from hornet_jax.tasks.predictions import Accuracy
from hornet_jax.train.by_shape import ByShape
from hornet_jax.train.evaluate import evaluate_split, evaluate_weights
from hornet_jax.train.input_pipeline import InputPipeline
from hornet_jax.train.run import train
from hornet_jax.train.set_up import set_up


@pytest.fixture
def load(data_dir):
  """The digits config, shrunk, with drop path on."""

  def config(**overrides):
    settings = {
      "data.data_dir": data_dir,
      "data.image_size": 16,
      "data.crop_padding": 2,
      "model.drop_path_rate": 0.3,
      "optimizer.warmup_epochs": 0.1,
      **overrides,
    }
    arguments = [f"--config.{key}={value}" for key, value in settings.items()]
    return config_flag.load("configs/digits.py:variant=nano_gf,runlocal", arguments)

  return config


def first_steps(trainer, inputs, count):
  """Losses of `count` steps and the state after them."""
  step = trainer.compile_train_step()
  state, batches, losses = trainer.create_state(), inputs.train_batches(0), []
  for _ in range(count):
    batch = to_devices(next(batches), 64, batch_sharding(trainer.mesh))
    state, metrics = step(state, batch)
    losses.append(float(metrics["loss"]))
  return losses, state


def evaluated(trainer, inputs, variables):
  """The results of every example of the evaluation split."""
  step = trainer.compile_eval_step(inputs.eval_batch_size, inputs.eval_schemas)
  (metric,) = evaluate_split(trainer, inputs, step, [variables], inputs.splits.eval)
  return metric.predictions()


@pytest.mark.slow
def test_eight_devices_equal_one(load):
  config = load()
  one, eight = (set_up(config, jax.devices()[:count]) for count in (1, 8))
  assert eight[0].mesh.size == 8
  losses, state = first_steps(*one, 10)
  sharded_losses, sharded_state = first_steps(*eight, 10)
  np.testing.assert_allclose(sharded_losses, losses, rtol=1e-5)
  assert len(set(losses)) == 10
  assert int(sharded_state.step) == 10
  jax.tree.map(lambda a, b: assert_close(a, b, 1e-2), sharded_state.params, state.params)
  # Evaluation is the same as well, example by example.
  results = [
    evaluated(trainer, inputs, trainer.place(jax.device_get(state.variables())))
    for trainer, inputs in (one, eight)
  ]
  assert len(results[0].label) == 360
  np.testing.assert_array_equal(results[0].index, np.arange(360))
  np.testing.assert_array_equal(results[0].label, results[1].label)
  assert_close(results[1].loss, results[0].loss)
  assert results[0].metrics()["top1"] == results[1].metrics()["top1"]


@pytest.mark.slow
def test_parameters_in_parts_equal_whole_ones(load, monkeypatch):
  """Eight devices, four of which share a copy, against one; mixing, erasing and drop path on."""
  monkeypatch.setattr("hornet_jax.parallel.sharding.MIN_SIZE", 64)
  settings = {"mix.rate": 1.0, "mix.group_size": 8, "data.erasing_rate": 0.25}
  one = set_up(load(**settings), jax.devices()[:1])
  parts = set_up(load(**settings, **{"mesh.fsdp": 4}))
  losses, state = first_steps(*one, 5)
  part_losses, part_state = first_steps(*parts, 5)
  np.testing.assert_allclose(part_losses, losses, rtol=1e-5)
  for tree in (part_state.params, part_state.ema_params, part_state.opt_state[1][0].mu):
    fc1 = tree["stage_1"]["blocks"]["mlp"]["fc1"]  # kernels (1, 16, 64)
    assert {shard.data.shape for shard in fc1["kernel"].addressable_shards} == {(1, 4, 64)}
    assert {shard.data.shape for shard in fc1["bias"].addressable_shards} == {(1, 64)}
  result, expected = evaluated(*parts, part_state.variables()), evaluated(*one, state.variables())
  assert_close(result.loss, expected.loss, 1e-4)


def test_another_mesh_goes_on_with_identical_parameters_and_the_next_batch(load, tmp_path):
  config, rng = load(), np.random.default_rng(0)
  (eight, of_eight), (one, of_one) = (set_up(config, jax.devices()[:count]) for count in (8, 1))
  state = jax.tree.map(
    lambda leaf: jax.device_put(rng.normal(size=leaf.shape).astype(leaf.dtype), leaf.sharding),
    eight.abstract_state(),
  )
  state = dataclasses.replace(state, step=jax.device_put(jnp.int32(5), state.step.sharding))
  with Checkpoints(epath.Path(tmp_path), 1) as checkpoints:
    checkpoints.save(5, state)
  with Checkpoints(epath.Path(tmp_path), 1) as checkpoints:
    step, restored = checkpoints.restore(one.abstract_state())
  assert step == 5
  assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(restored)} == {1}
  jax.tree.map(np.testing.assert_array_equal, restored, state)
  first, *batches = (
    jax.device_get(to_devices(next(batches), 64, batch_sharding(trainer.mesh)))
    for trainer, batches in (
      (one, of_one.train_batches(0)),
      (one, of_one.train_batches(step)),
      (eight, of_eight.train_batches(step)),
    )
  )
  jax.tree.map(np.testing.assert_array_equal, *batches)
  assert not np.array_equal(first["image"], batches[0]["image"])


def test_divergence_names_the_step_and_the_last_good_checkpoint(load, tmp_path):
  overrides = {"optimizer.learning_rate": 1e20, "optimizer.warmup_epochs": 0.2}
  config = load(**overrides, **{"checkpoint.every_steps": 1, "optimizer.clip_norm": 0.0})
  with pytest.raises(DivergedError, match=r"step 2 must .*: got .*param_norm inf.* is step 1\."):
    train(config, epath.Path(tmp_path), jax.devices()[:1])
  assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["1"]


def poison(monkeypatch, steps):
  """Makes the batches of some steps (counted from 1) give a loss that is NaN."""
  read = InputPipeline.train_batches

  def train_batches(self, start_step):
    for step, batch in enumerate(read(self, start_step), start_step + 1):
      if step in steps:
        batch = {**batch, "weight": np.full_like(batch["weight"], np.nan)}
      yield batch

  monkeypatch.setattr(InputPipeline, "train_batches", train_batches)


@pytest.mark.slow
def test_nan_at_one_step_is_skipped_and_counted(load, tmp_path, monkeypatch, caplog):
  poison(monkeypatch, {7})
  config = load(epochs=0.5, **{"log.every_steps": 1, "checkpoint.every_steps": 6})
  with caplog.at_level(logging.WARNING, "hornet_jax"):
    outcome = train(config, epath.Path(tmp_path), jax.devices()[:1])
  assert re.search(r"step 7 skipped: .*loss nan.*, 1 in a row", caplog.text)
  records = [r for r in outcome.records if "train/skipped" in r]
  assert [r["train/skipped"] for r in records] == [0] * 6 + [1] * 5
  assert [r["step"] for r in records if "train/loss" not in r] == [7]
  assert np.isfinite(outcome.metrics["eval_ema/loss"])


def test_too_many_nan_in_a_row_stop_the_run_before_damage(load, tmp_path, monkeypatch):
  poison(monkeypatch, range(8, 99))
  config = load(**{"checkpoint.every_steps": 5, "optimizer.max_skipped_steps": 4})
  with pytest.raises(DivergedError, match=r"step 11 must .*in a row: 4\. .* is step 10\."):
    train(config, epath.Path(tmp_path), jax.devices()[:1])
  step, params, ema_params = load_params(epath.Path(tmp_path) / "checkpoints")
  assert step == 10
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((params, ema_params)))


def test_undecodable_images_stop_the_run_past_the_limit(load, tmp_path, monkeypatch):
  config = load(**{"data.max_undecodable": 3})
  split = set_up(config, jax.devices()[:1])[1].splits.train
  source = [{**example, "image": b"broken"} for example in split.source]
  broken = dataclasses.replace(split, source=source)
  monkeypatch.setattr("hornet_jax.train.input_pipeline.open_training_split", lambda *_: broken)
  with pytest.raises(ValueError, match=r"64 images of digits/train .* stands at step 1\."):
    train(config, epath.Path(tmp_path), jax.devices()[:1])
  assert (tmp_path / "checkpoints" / "1").exists()


@pytest.mark.slow
def test_a_run_compiles_once_and_logs_where_its_time_goes(load, tmp_path, monkeypatch, caplog):
  monkeypatch.setitem(PEAK_FLOPS, "cpu", 1e12)
  every = {"eval.every_epochs": 0.5, "checkpoint.every_steps": 9, "log.every_steps": 8}
  config = load(epochs=1.0, **every, **{"log.profile_steps": 2})
  with jax.log_compiles(), caplog.at_level(logging.WARNING):
    outcome = train(config, epath.Path(tmp_path), jax.devices()[:2])
  assert outcome.step == 22
  assert len([r for r in outcome.records if "eval/top1" in r]) == 2
  # As it is said before: another test may have had the same compiled.
  compiled = re.findall(r"Compiling jit\((\w+)\) with", caplog.text)
  assert compiled.count("train_step") == compiled.count("eval_step") == 1

  lines = [r for r in outcome.records if "train/loss" in r]
  assert [line["step"] for line in lines] == [8, 16, 22]
  macs = sum(stage.macs for stage in stage_costs(outcome.trainer.model, 16))
  for line in lines:
    assert 0 < line["train/input_wait"] < 1
    assert 0 < line["train/goodput"] < 1
    flops = 3 * 2 * macs * line["train/images_per_second"]
    assert line["train/mfu"] == pytest.approx(flops / (2 * 1e12))
  clock = json.loads((tmp_path / "clock.json").read_text())
  assert list(clock["seconds_in_steps"]) == ["9", "11", "18", "22"]  # the checkpoints
  (trace,) = tmp_path.glob("profile/plugins/profile/*/*.xplane.pb")
  assert b"jit_train_step" in trace.read_bytes()


def test_the_trainer_uses_the_fitted_decay(load, monkeypatch):
  passed = {}

  def make_train_step(model, task, tx, schedule, settings, **others):
    passed["settings"], passed["task"] = settings, task
    raise StopIteration

  monkeypatch.setattr("hornet_jax.train.trainer.make_train_step", make_train_step)
  trainer, _ = set_up(load(), jax.devices()[:1])
  with pytest.raises(StopIteration):
    trainer.compile_train_step()
  assert passed["settings"].ema_decay == pytest.approx(0.9999 ** (93_600 / 44))
  assert passed["task"].label_smoothing == 0.1


def test_process_rows_cover_the_batch():
  mesh = make_mesh()
  np.testing.assert_array_equal(process_rows(16, batch_sharding(mesh)), np.arange(16))
  batch = {"x": np.arange(32.0, dtype=np.float32).reshape(16, 2)}
  placed = to_devices(batch, 16, batch_sharding(mesh))["x"]
  assert len(placed.sharding.device_set) == 8
  np.testing.assert_array_equal(placed, batch["x"])


def test_results_of_an_example():
  logits = jnp.array([[1.0, 3.0, 2.0], [5.0, 0.0, 0.0], [jnp.nan] * 3])
  results = example_results(logits, jnp.array([2, 0, 0]))
  np.testing.assert_array_equal(results["rank"], [1, 0, 3])  # NaN never counts as right
  ties = example_results(jnp.zeros((3, 3)), jnp.array([0, 1, 2]))
  np.testing.assert_array_equal(ties["rank"], [0, 1, 2])  # as argmax, the lower class first
  np.testing.assert_array_equal(ties["prediction"], 0)
  np.testing.assert_array_equal(results["prediction"][:2], [1, 0])
  np.testing.assert_allclose(
    results["confidence"][0], np.exp(3) / np.exp([1, 2, 3]).sum(), rtol=1e-6
  )


def test_bfloat16_keeps_parameters_in_float32(load):
  trainer, _ = set_up(load(**{"model.dtype": "bfloat16"}), jax.devices()[:1])
  state = trainer.abstract_state()
  leaves = jax.tree.leaves((state.params, state.ema_params))
  assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}


def test_metrics_merge_to_that_of_all():
  """As those of several parts of a split do, in their order."""
  rng = np.random.default_rng(0)
  metrics = [Accuracy() for _ in range(3)]
  for part in range(2):
    results = example_results(
      jnp.asarray(rng.normal(size=(5, 7)), jnp.float32), jnp.asarray(rng.integers(0, 7, 5))
    )
    rows = {**jax.device_get(results), "index": np.arange(5) + 5 * part, "label": np.arange(5)}
    for metric in (metrics[0], metrics[1 + part]):
      metric.update(rows)
  merged = metrics[1].merge(metrics[2])
  assert (merged.count, metrics[1].count) == (10, 5)
  assert merged.compute() == metrics[0].compute()
  np.testing.assert_array_equal(merged.predictions().index, np.arange(10))


@pytest.mark.parametrize(("decay", "times"), [(0.0, 1), (0.99, 2)])
def test_weights_without_an_average_are_measured_once(load, monkeypatch, decay, times):
  trainer, inputs = set_up(load(**{"ema.decay": decay}), jax.devices()[:1])
  split = inputs.splits.eval

  def counted(trainer, inputs, eval_step, variables, split):
    return [trainer.task.metric(split) for _ in variables]

  monkeypatch.setattr("hornet_jax.train.evaluate.evaluate_split", counted)
  weights = {"raw": {}, "ema": {}}
  metrics = evaluate_weights(trainer, inputs, ByShape({}), weights, split)
  assert list(metrics) == ["raw", "ema"]
  assert len(set(map(id, metrics.values()))) == times
