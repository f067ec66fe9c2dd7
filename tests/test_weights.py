"""PretrainedModel models leave a run, come back and start another."""

import dataclasses
import json
import re
import shutil

import jax
import numpy as np
import pytest
import safetensors.numpy
from etils import epath
from sources import start_of
from test_train import load as load_config  # noqa: F401

import hornet_jax
from hornet_jax.checkpoints.manager import Checkpoints
from hornet_jax.checkpoints.newest_valid import load_params
from hornet_jax.cli.main import main
from hornet_jax.data.datasets import open_split
from hornet_jax.errors import InputError
from hornet_jax.pretrained.initialize import initialize_from
from hornet_jax.pretrained.model_io import export, read_weights
from hornet_jax.pretrained.spec import ModelSpec
from hornet_jax.pretrained.weights_file import write_model
from hornet_jax.runs.records import read_records
from hornet_jax.train.run import train
from hornet_jax.train.set_up import set_up

ARGUMENTS = [
  "--config=configs/digits.py:variant=nano_gf,runlocal",
  "--config.data.image_size=16",
  "--config.epochs=1.5",
  "--config.optimizer.warmup_epochs=0.1",
  "--config.eval.every_epochs=0.5",
  "--config.eval.also=('digits/test[:100]',)",
  "--config.checkpoint.keep=1",
]


def data_flag(data_dir):
  return f"--config.data.data_dir={data_dir}"


@pytest.fixture(scope="module")
def run(tmp_path_factory, data_dir):
  """A short run on the digits, evaluated three times."""
  workdir = tmp_path_factory.mktemp("run")
  assert main(["train", *ARGUMENTS, f"--workdir={workdir}", data_flag(data_dir)]) == 0
  return epath.Path(workdir)


@pytest.mark.slow
def test_load_gives_what_was_evaluated(run, data_dir, capfd):
  model, params, preprocessing = hornet_jax.load(run)
  assert preprocessing.class_names == [str(digit) for digit in range(10)]
  source = open_split("digits", "test", data_dir).source
  images = preprocessing([example["image"] for example in source])
  logits = jax.jit(lambda p, x: model.apply({"params": p}, x)[0])(params, images)
  labels = np.array([example["label"] for example in source])
  accuracy = np.mean(np.asarray(logits).argmax(-1) == labels)
  assert main(["evaluate", f"--workdir={run}", "--json"]) == 0
  printed = capfd.readouterr().out
  assert f'"top1": {float(accuracy)}' in printed
  assert '"digits/test[:100]"' in printed


def test_a_file_holds_the_same_model(run, tmp_path):
  file = tmp_path / "new folder" / "digits.safetensors"
  assert main(["export", f"--workdir={run}", f"--out={file}"]) == 0
  model, params, preprocessing = hornet_jax.load(run)
  again = hornet_jax.load(file)
  assert again.model == model
  assert again.preprocessing == preprocessing
  jax.tree.map(np.testing.assert_array_equal, again.params, params)
  assert jax.tree.structure(again.params) == jax.tree.structure(params)
  for options in ({"raw": True}, {"checkpoint": "best"}):
    with pytest.raises(InputError, match="weights of one checkpoint"):
      hornet_jax.load(file, **options)
  raw = hornet_jax.load(run, raw=True)
  assert any(
    (a != b).any() for a, b in zip(*map(jax.tree.leaves, (raw.params, params)), strict=True)
  )


def test_files_that_are_none(run, tmp_path):
  broken = tmp_path / "broken.safetensors"
  for content in (b"", b"\x00" * 100):
    broken.write_bytes(content)
    with pytest.raises(InputError, match=r"must be a file that `hornet export` wrote"):
      hornet_jax.load(broken)
  metadata = {"model": "{}", "data": "[]", "class_names": "[]"}
  broken.write_bytes(safetensors.numpy.save({"a": np.zeros(1)}, metadata))
  with pytest.raises(InputError, match=r"must be a file that `hornet export` wrote"):
    hornet_jax.load(broken)
  with pytest.raises(InputError, match=r"must end in \.safetensors or \.pth"):
    export(run, epath.Path(tmp_path / "weights.npz"))
  with pytest.raises(InputError, match="must be a folder that can be written"):
    export(run, epath.Path(broken / "below" / "weights.safetensors"))
  with pytest.raises(InputError, match="must be that of a run"):
    hornet_jax.load(tmp_path / "none")


def test_best_and_last_are_kept(tmp_path, data_dir, load_config):  # noqa: F811
  trainer, _ = set_up(load_config(), jax.devices()[:1])
  created = trainer.create_state()

  def state(step):
    return dataclasses.replace(created, step=jax.device_put(step, created.step.sharding))

  by = "eval_ema/top1"
  with Checkpoints(epath.Path(tmp_path), 2, 1, ranked_by=by) as checkpoints:
    for step, top1 in ((1, 0.5), (2, 0.9), (3, None), (4, 0.7)):
      checkpoints.save(step, state(step), None if top1 is None else {"eval_ema/top1": top1})
  with Checkpoints(epath.Path(tmp_path), 2, 1, ranked_by=by) as checkpoints:  # as after a restart
    checkpoints.save(5, state(5), {"eval_ema/top1": 0.8})
  steps = sorted(int(path.name) for path in tmp_path.iterdir() if path.name.isdecimal())
  assert steps == [2, 4, 5]
  path = epath.Path(tmp_path)
  chosen = {which: load_params(path, which, by)[0] for which in ("last", "best", "4")}
  assert chosen == {"last": 5, "best": 2, "4": 4}
  with pytest.raises(InputError, match="expected one of 2, 4, 5, got '3'"):
    load_params(epath.Path(tmp_path), "3")


def test_the_best_checkpoint_of_a_run_is_kept(run):
  steps = sorted(int(p.name) for p in (run / "checkpoints").iterdir() if p.name.isdecimal())
  assert steps[-1] == 33
  evaluated = {
    record["step"]: record["eval_ema/top1"]
    for record in read_records(run)
    if "eval_ema/top1" in record
  }
  assert len(evaluated) == 3
  best = max(evaluated, key=lambda step: (evaluated[step], step))
  assert best in steps
  assert load_params(run / "checkpoints", "best", "eval_ema/top1")[0] == best


def test_another_dataset_of_the_same_name_is_refused(run, data_dir, tmp_path, capfd):
  """Nothing is written to the run by the attempt."""
  workdir = tmp_path / "run"
  shutil.copytree(run, workdir)
  description = workdir / "dataset.json"
  known = json.loads(description.read_text())
  for change, message in (
    ({"examples": 5}, "expected examples 5, got 1,437 in digits/train"),
    ({"class_names": ["a", "b"]}, r"expected class_names 2 (a, b, ...), got 10 (0, 1, 2, ...)"),
  ):
    description.write_text(json.dumps({**known, **change}))
    before = description.read_bytes()
    assert main(["train", *ARGUMENTS, f"--workdir={workdir}", data_flag(data_dir)]) == 2
    assert message in capfd.readouterr().err
    assert description.read_bytes() == before
    assert main(["evaluate", f"--workdir={workdir}"]) == 2
    assert message in capfd.readouterr().err


def test_start_from_another_run(run, load_config, tmp_path):  # noqa: F811
  """Other classes: all but the head; another grid: filters resized; then a step of the head."""
  source = hornet_jax.load(run)
  model = source.model.clone(num_classes=3, filters=("7x7", (4, 3)))
  params = jax.jit(model.init)(jax.random.key(1), np.zeros((1, 8, 8, 3), np.float32))["params"]
  new, notes = initialize_from(model, params, *start_of(source), ["a", "b", "c"])
  jax.tree.map(np.testing.assert_array_equal, new["head"], params["head"])
  jax.tree.map(np.testing.assert_array_equal, new["stem"], source.params["stem"])
  assert new["stage_1"]["block_0"]["gnconv"]["dwconv"]["filter_re"].shape[:2] == (4, 3)
  assert "new head: the classes are others" in notes
  assert sum("resized from" in note for note in notes) == 2
  same, notes = initialize_from(
    source.model, source.params, *start_of(source), source.preprocessing.class_names
  )
  assert notes == []
  jax.tree.map(np.testing.assert_array_equal, same, source.params)

  other = source.model.clone(base_dim=16, num_classes=3)
  params = jax.eval_shape(other.init, jax.random.key(1), np.zeros((1, 16, 16, 3)))["params"]
  with pytest.raises(InputError, match=r"is \(8,\) instead of \(16,\);.* and \d+ more\."):
    initialize_from(other, params, *start_of(source), ["a", "b", "c"])
  params = {name: tree for name, tree in source.params.items() if name != "norm"}
  with pytest.raises(InputError, match="norm/bias is left over"):
    initialize_from(source.model, params, *start_of(source), ["a", "b", "c"])


@pytest.mark.slow
def test_a_frozen_backbone_starts_from_a_run_and_stays(run, load_config, tmp_path):  # noqa: F811
  settings = {"init.checkpoint": run, "optimizer.freeze_backbone": True, "data.image_size": 16}
  outcome = train(load_config(epochs=0.2, **settings), epath.Path(tmp_path), jax.devices()[:1])
  source = hornet_jax.load(run)
  for name, params in load_params(epath.Path(tmp_path) / "checkpoints")[1].items():
    if name != "head":
      jax.tree.map(np.testing.assert_array_equal, params, source.params[name])
  moments = moment_paths(outcome.trainer)
  assert {path for path in moments if "stem" in path} == set()


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    ("--init=", "--init must name a workdir or a file"),
    ("--init=/none", "`init.checkpoint`: `workdir` must be that of a run"),
    ("--config.optimizer.freeze_backbone=True", "must come with `init.checkpoint`"),
    ("--config.optimizer.layer_decay=0.7", "those of four stages do, got one without"),
  ],
)
def test_starts_that_cannot_be(argument, message, data_dir, tmp_path, capfd):
  arguments = ["train", *ARGUMENTS, f"--workdir={tmp_path / 'new'}", data_flag(data_dir)]
  assert main([*arguments, argument]) == 2
  assert message in capfd.readouterr().err
  assert not (tmp_path / "new").exists()


def test_a_start_from_another_model_names_both(run, data_dir, tmp_path, capfd):
  arguments = ["train", *ARGUMENTS, f"--workdir={tmp_path / 'new'}", data_flag(data_dir)]
  variant = read_weights(run).spec.model["variant"]
  other = "hornet_micro_7x7"
  assert main([*arguments, f"--init={run}", f"--config.model.variant={other}"]) == 2
  expected = (
    rf"must hold the parameters of {other}: those of {variant} differ in \d+ arrays\. Hint: "
    rf"--config\.model\.variant={variant}\."
  )
  assert re.search(expected, capfd.readouterr().err)
  assert not (tmp_path / "new").exists()


def moment_paths(trainer):
  """Paths of the arrays that the optimiser keeps."""
  leaves = jax.tree_util.tree_leaves_with_path(trainer.abstract_state().opt_state)
  return {jax.tree_util.keystr(path) for path, _ in leaves}


def test_what_a_model_has_beside_parameters_is_kept(tmp_path):
  """Batch statistics come back; `load`, which has no place for them, does not leave them out."""
  data = {"image_size": 8, "eval_crop_fraction": 1.0, "mean": [0.5] * 3, "std": [0.5] * 3}
  spec = ModelSpec({"variant": "hornet_nano_7x7", "dtype": "float32"}, data, ["a", "b"])
  params = {"head": {"bias": np.arange(2.0, dtype=np.float32)}}
  state = {"batch_stats": {"head": {"mean": np.ones(3, np.float32)}}}
  file = epath.Path(tmp_path) / "m.safetensors"
  write_model(file, spec, params, {"step": "1"}, state)
  again = read_weights(file)
  jax.tree.map(np.testing.assert_array_equal, again.variables, {"params": params, **state})
  assert again.spec.class_names == ["a", "b"]
  with pytest.raises(InputError, match="all that it has: it also has batch_stats"):
    hornet_jax.load(file)
