"""The suite on small copies of each set, with numbers that were worked out by hand."""

import collections
import csv
import dataclasses
import json
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from suite_archives import LABELS, write_archives

from hornet_jax import create_model
from hornet_jax.cli.main import main
from hornet_jax.data.datasets import open_split
from hornet_jax.data.imagenet_classes import synsets
from hornet_jax.data.preparing.imagenet.eval_archives import CORRUPTIONS, EVAL_SETS, EvalArchives
from hornet_jax.data.views.eval_view import EvalView
from hornet_jax.data.views.preprocess import Preprocessing
from hornet_jax.errors import InputError
from hornet_jax.models.execution import Execution
from hornet_jax.pretrained.model_io import PretrainedModel
from hornet_jax.pretrained.spec import ModelSpec
from hornet_jax.pretrained.weights_file import write_model
from hornet_jax.suite.run import Suite
from hornet_jax.suite.scores import ALEXNET_ERRORS, read_real_labels
from hornet_jax.suite.sets import SETS
from hornet_jax.suite.table import set_rows
from hornet_jax.tasks.predictions import per_class


class Oracle(nn.Module):
  """Answers what the colour of an image says, with the confidence that it says."""

  num_classes: int = 1000
  shift: int = 0
  execution: Execution = Execution()

  def nothing(self, *_):
    """Nobody asks."""
    return ()

  features = stacks = param_info = adapt = pictures = nothing

  @nn.compact
  def __call__(self, images, train=False, keys=None):
    red, green, blue = (jnp.round(255 * images[:, 0, 0, c]) for c in range(3))
    share = blue / 256
    number = (red + 256 * green).astype(jnp.int32) + self.shift
    one_hot = jax.nn.one_hot(number, self.num_classes)
    # One logit of s and 999 of 0: softmax gives e^s / (e^s + 999).
    return one_hot * jnp.log(999 * share / (1 - share))[:, None], {}


def oracle(class_names, **fields):
  view = EvalView(8, 0.5)
  return PretrainedModel(
    Oracle(num_classes=len(class_names), **fields),
    {},
    Preprocessing(view, (0.0,) * 3, (1.0,) * 3, class_names),
  )


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
  folder = tmp_path_factory.mktemp("archives")
  write_archives(folder)
  return folder


@pytest.fixture(scope="module")
def data_dir(archives, tmp_path_factory):
  path = tmp_path_factory.mktemp("data")
  code = "\n".join(  # one process: importing TensorFlow takes longer than the rest
    [
      "from hornet_jax.data.preparing.build import build_imagenet, build_eval_set",
      f"build_imagenet({str(archives)!r}, {str(path)!r})",
      *(
        f"build_eval_set({name!r}, {str(archives)!r}, {str(path)!r})"
        for name in EVAL_SETS
        if name != "imagenet_v2"
      ),
    ]
  )
  subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
  arguments = [f"--archives={archives}", f"--data_dir={path}", "--partial"]
  assert main(["prepare", "imagenet_v2", *arguments]) == 0
  return str(path)


@pytest.fixture(scope="module")
def real_file(tmp_path_factory):
  path = tmp_path_factory.mktemp("real") / "real.json"
  wrong_but_there = (LABELS[2] + 1) % 1000
  labels = [[LABELS[0]], [], [LABELS[2], wrong_but_there], [LABELS[3]], [7, LABELS[4]], []]
  path.write_text(json.dumps(labels + [[]] * (50_000 - len(labels))))
  return path


@pytest.fixture(scope="module")
def suite():
  return Suite({"raw": oracle(synsets())}, None, batch_size=8, num_threads=1)


def rows_of(suite, name, data_dir, real_labels=None):
  split = open_split(SETS[name].dataset, SETS[name].split, data_dir)
  result = suite.predict(SETS[name], split)
  return {row["set"]: row for row in set_rows(name, result, real_labels)}, result


@pytest.mark.slow
def test_imagenet_and_real(suite, data_dir, real_file):
  labels = read_real_labels(epath.Path(real_file))
  rows, _ = rows_of(suite, "val", data_dir, labels)
  assert (rows["val"]["images"], rows["val"]["classes"]) == (6, 1000)
  assert rows["val"]["top1"] == 3 / 6
  # Confidence 0.75 with 2 of 4 right, and 0.25 with 1 of 2: 4/6 * 0.25 + 2/6 * 0.25.
  assert rows["val"]["calibration_error"] == pytest.approx(0.25, abs=1e-6)
  # Images 2 and 6 have no label; of the others 1, 3 and 5 are right.
  assert (rows["real"]["images"], rows["real"]["top1"]) == (4, 3 / 4)


def test_a_larger_head_through_a_class_map(data_dir, suite):
  names = [str(k) for k in range(1005)]
  models = {"raw": oracle(names, shift=5)}
  with pytest.raises(InputError, match=r"it has 1,005 classes \(0, 1, 2, ...\), and not n01440764"):
    Suite(models, None, batch_size=8, num_threads=1)
  mapped = Suite(models, np.arange(5, 1005), batch_size=8, num_threads=1)
  rows, _ = rows_of(mapped, "val", data_dir)
  expected, _ = rows_of(suite, "val", data_dir)
  for score in ("top1", "top5", "calibration_error"):
    assert rows["val"][score] == pytest.approx(expected["val"][score], abs=1e-6)
  # A head of ours knows its classes by name: no map is needed.
  named = {"raw": oracle(["n99999999"] * 5 + synsets(), shift=5)}
  rows, _ = rows_of(Suite(named, None, batch_size=8, num_threads=1), "val", data_dir)
  assert rows["val"]["top1"] == 3 / 6


def test_v2_counts_its_folders(suite, data_dir):
  """In the order of their names 10 would come before 2."""
  rows, _ = rows_of(suite, "v2", data_dir)
  assert (rows["v2"]["images"], rows["v2"]["top1"]) == (4, 3 / 4)


def test_a_and_r_go_by_their_own_classes(suite, data_dir):
  rows, _ = rows_of(suite, "a", data_dir)
  assert (rows["a"]["classes"], rows["a"]["images"]) == (2, 2)
  assert (rows["a"]["top1"], rows["a"]["top5"]) == (1 / 2, 1.0)
  rows, _ = rows_of(suite, "r", data_dir)
  assert (rows["r"]["classes"], rows["r"]["top1"]) == (3, 1.0)


def test_what_sketch_does_not_use_is_named(suite, archives, data_dir):
  rows, result = rows_of(suite, "sketch", data_dir)
  assert (rows["sketch"]["images"], rows["sketch"]["undecodable"]) == (2, 1)
  assert rows["sketch"]["top1"] == 1 / 2
  assert per_class(result.predictions["raw"], synsets()) == [
    {
      "class": synsets()[3],
      "images": 2,
      "top1": 0.5,
      "top5": 1.0,  # of equals the lower class is ahead: 4, 0, 1, 2, 3
      "confidence": pytest.approx(0.75, abs=1e-5),
      "taken_for": synsets()[4],
      "times": 1,
    }
  ]
  left_out = epath.Path(data_dir) / "imagenet_sketch" / "1.0.0" / "left_out.txt"
  assert dict(line.split("\t") for line in left_out.read_text().splitlines()) == {
    "ImageNet-Sketch.zip/sketch/n00000000/d.JPEG": "of another class",
    f"ImageNet-Sketch.zip/__MACOSX/sketch/{synsets()[3]}/._a.JPEG": (
      "no image in a folder of its class"
    ),
    f"ImageNet-Sketch.zip/../sketch/{synsets()[3]}/e.JPEG": (
      "a name that leads outside, or no regular file"
    ),
  }


def test_mean_corruption_error(suite, data_dir):
  rows, result = rows_of(suite, "c", data_dir)
  assert rows["c"]["images"] == 15 * 5 * 2
  # Errors 0, 1/2, 1/2, 1, 1: 0.6 in the mean, against AlexNet's 0.886428 under Gaussian noise.
  assert rows["c/gaussian_noise"]["corruption_error"] == pytest.approx(0.6 / 0.886428)
  assert rows["c/jpeg_compression"]["corruption_error"] == pytest.approx(0.6 / 0.6065)
  # 0.6 times the mean of the 15 reciprocals of AlexNet's errors, which is 1.29345.
  assert rows["c"]["corruption_error"] == pytest.approx(0.6 * 1.29345, abs=1e-5)
  assert len(rows) == 1 + 15
  assert tuple(ALEXNET_ERRORS) == CORRUPTIONS
  # Without one severity of fog there is no score of fog, and none of the whole.
  predictions = result.predictions["raw"]
  kept = predictions.select(predictions.key != CORRUPTIONS.index("fog") * 5 + 2)
  part = {"raw": kept}
  rows = {row["set"]: row for row in set_rows("c", result.__class__(part, 1000, 0, 1.0), None)}
  assert "c/fog" not in rows
  assert "corruption_error" not in rows["c"]


def test_sets_must_hold_the_classes_and_images(suite, data_dir):
  split = open_split("imagenet_a", "test", data_dir)
  others = dataclasses.replace(split, class_names=[f"c{k}" for k in range(200)])
  with pytest.raises(InputError, match=r"must have the 1,000 classes .* got 200 \(c0, c1, c2"):
    suite.predict(SETS["a"], others)
  broken = [{**example, "image": b"no image"} for example in split.source]
  with pytest.raises(InputError, match="none of its 2 decodes"):
    suite.predict(SETS["a"], dataclasses.replace(split, source=broken))


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
  """A small HorNet that knows the 1,000 classes by name."""
  path = tmp_path_factory.mktemp("model") / "nano.safetensors"
  model = create_model("hornet_nano_7x7", num_classes=1000, patch_size=2)
  params = model.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))["params"]
  data = {
    "image_size": 16,
    "eval_crop_fraction": 0.875,
    "eval_warp": False,
    "imaging": "turbo",
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
  }
  described = {"variant": "hornet_nano_7x7", "dtype": "float32", "patch_size": 2}
  write_model(epath.Path(path), ModelSpec(described, data, synsets()), params, {})
  return path


def test_the_command_adds_to_one_table(model_file, data_dir, real_file, tmp_path, capfd, caplog):
  table = tmp_path / "results" / "all.csv"
  command = ["evaluate", "--suite", f"--workdir={model_file}", f"--data_dir={data_dir}"]
  command += [f"--table={table}", "--batch_size=8"]
  assert main([*command, "--sets=val,v2,real", f"--real={real_file}"]) == 0
  assert f"added to {table}" in capfd.readouterr().out
  assert main([*command, "--sets=a", "--json"]) == 0
  (printed,) = json.loads(capfd.readouterr().out)
  rows = list(csv.DictReader(table.read_text().splitlines()))
  assert [row["set"] for row in rows] == ["val", "real", "v2", "a"]
  assert collections.Counter(row["sha256"] for row in rows) == {printed["sha256"]: 4}
  assert {row["weights"] for row in rows} == {"file"}
  assert json.loads(rows[0]["config"])["model"]["variant"] == "hornet_nano_7x7"
  assert all(row["date"].startswith("20") and float(row["images_per_second"]) > 0 for row in rows)
  assert float(rows[0]["model_images_per_second"]) > 0
  by_class = table.parent / "all_classes" / f"{rows[0]['evaluation']}_val.csv"
  assert sum(int(row["images"]) for row in csv.DictReader(by_class.read_text().splitlines())) == 6


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (
      ["--suite", "--sets=val,v3"],
      "unknown set 'v3': expected one of a, c, r, real, sketch, v2, val",
    ),
    (["--suite", "--sets=real"], "real: give --real=real.json of"),
    (["--suite", "--sets=c", "--data_dir=/none"], "c: not prepared, run .* prepare imagenet_c"),
    (["--suite", "--table=README.md"], "must be a table of the suite.*got '# hornet_jax'"),
    (["--suite", "--table=tests"], "must be a table of the suite.*Is a directory"),
    (["--suite", "--table=tests/golden/torch_class_map.pth"], "must be a table of the suite"),
    (["--suite", "--table=README.md/x.csv"], "must be a folder that can be written"),
    (["--suite", "--real=README.md"], "`real` must be the published real.json"),
    (["--sets=val"], "--sets must come with --suite"),
  ],
)
def test_wrong_commands_are_one_line(arguments, message, model_file, capfd):
  assert main(["evaluate", f"--workdir={model_file}", *arguments]) == 2
  with pytest.raises(InputError, match=message):
    raise InputError(capfd.readouterr().err)


def test_archives_are_counted(archives, tmp_path):
  for name in EVAL_SETS:
    source = EvalArchives(name, archives)
    source.check_count(partial=True)
    with pytest.raises(InputError, match=rf"must hold the [\d,]+ images of {name}: got [\d,]+\."):
      source.check_count(partial=False)
  with pytest.raises(InputError, match="of imagenet_a: got 0"):
    EvalArchives("imagenet_a", tmp_path).check_count(partial=True)
  (tmp_path / "noise.tar").write_bytes((archives / "noise.tar").read_bytes())
  with pytest.raises(InputError, match=r"blur.tar, weather.tar, digital.tar not in"):
    EvalArchives("imagenet_c", tmp_path)
  cut = tmp_path / "imagenet-a.tar"
  cut.write_bytes((archives / "imagenet-a.tar").read_bytes()[:700])
  with pytest.raises(InputError, match="must be a whole tar or zip archive"):
    EvalArchives("imagenet_a", cut).check_count(partial=True)


def test_an_evaluation_set_is_not_trained_on(data_dir, capfd):
  arguments = ["--config.data.dataset=imagenet_a", f"--config.data.data_dir={data_dir}"]
  assert main(["train", "--config=configs/imagenet1k.py:runlocal", *arguments]) == 2
  assert "'imagenet_a' is for evaluation" in capfd.readouterr().err
