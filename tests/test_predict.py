"""`predict` reads files of any kind, one after another, and says what it found."""

import csv
import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from PIL import Image

from hornet_jax import create_model
from hornet_jax.cli import config as config_flag
from hornet_jax.cli.main import main
from hornet_jax.cli.predict import _check_pictures_are_new, _picture_names
from hornet_jax.data.preparing.image_files import find_images
from hornet_jax.data.views.preprocess import Preprocessing
from hornet_jax.errors import InputError
from hornet_jax.models import VARIANTS
from hornet_jax.pretrained.model_io import load
from hornet_jax.pretrained.spec import ModelSpec
from hornet_jax.pretrained.weights_file import write_model

DATA = {
  "image_size": 16,
  "eval_crop_fraction": 1.0,
  "eval_warp": False,
  "imaging": "turbo",
  "mean": (0.5,) * 3,
  "std": (0.5,) * 3,
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
  """A file of a model with two classes, one of which is not ASCII."""
  model = create_model("hornet_nano_7x7", num_classes=2, patch_size=2)
  params = model.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))["params"]
  file = epath.Path(tmp_path_factory.mktemp("weights") / "model.safetensors")
  settings = {"variant": "hornet_nano_7x7", "patch_size": 2, "dtype": "float32"}
  write_model(file, ModelSpec(settings, DATA, ["café", "tea"]), jax.device_get(params), {})
  return file


@pytest.fixture
def photos(tmp_path):
  """A folder with four images, one of them broken, and files that are none."""
  folder = tmp_path / "photos"
  (folder / "more").mkdir(parents=True)
  (folder / ".hidden").mkdir()
  for k, name in enumerate(("a.png", "b.JPG", "more/c.webp", ".hidden/d.png")):
    path = folder / name
    Image.new("RGB", (20 + k, 30), (80 * k, 10, 200)).save(path)
  (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
  (folder / "notes.txt").write_text("none")
  return folder


def test_folders_patterns_and_files(photos):
  names = [os.path.relpath(path, photos) for path in find_images([str(photos)])]
  assert names == ["a.png", "b.JPG", "broken.jpg", "more/c.webp"]
  assert find_images([f"{photos}/*.png", "no such file"]) == [f"{photos}/a.png", "no such file"]
  odd = photos / "b[1].png"
  odd.write_bytes(b"")
  assert find_images([str(odd)]) == [str(odd)]  # a file is no pattern
  for nothing in (f"{photos}/*.gif", str(photos / ".hidden" / "..") + "/none*"):
    with pytest.raises(InputError, match="found no image in"):
      find_images([nothing])


def test_what_cannot_be_read_is_named_and_the_rest_is_told(weights, photos, tmp_path, capfd):
  table = tmp_path / "new" / "table.csv"
  none = tmp_path / "none.png"
  arguments = ["predict", str(none), str(photos), f"--workdir={weights}", f"--csv={table}"]
  assert main(arguments) == 2
  captured = capfd.readouterr()
  assert [line.partition(":")[0] for line in captured.out.splitlines()] == [
    str(photos / name) for name in ("a.png", "b.JPG", "more/c.webp")
  ]
  errors = captured.err.splitlines()
  assert errors[0] == f"hornet: image {str(none)!r} cannot be read: No such file or directory"
  assert errors[1].startswith(f"hornet: image {str(photos / 'broken.jpg')!r} cannot be read: ")
  assert f"2 of 5 cannot, each is named above; the table of all is in {table}." in errors[2]

  with open(table, encoding="utf-8", newline="") as file:
    header, *rows = csv.reader(file)
  assert header == ["image", "class_1", "probability_1", "class_2", "probability_2", "error"]
  assert [row[0] for row in rows] == [
    str(none),
    *(str(photos / name) for name in ("a.png", "b.JPG", "broken.jpg", "more/c.webp")),
  ]
  assert [bool(row[-1]) for row in rows] == [True, False, False, True, False]
  shares = np.array([[float(row[2]), float(row[4])] for row in rows if not row[-1]])
  np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)


def test_its_numbers_are_those_of_load(weights, photos, capfd):
  assert main(["predict", str(photos / "a.png"), f"--workdir={weights}", "--json"]) == 0
  (record,) = json.loads(capfd.readouterr().out)
  model, params, preprocessing = load(weights)
  assert isinstance(preprocessing, Preprocessing)
  logits, _ = jax.jit(model.apply)({"params": params}, preprocessing(photos / "a.png"))
  expected = dict(zip(preprocessing.class_names, jax.nn.softmax(logits[0]).tolist(), strict=True))
  found = {entry["class"]: entry["probability"] for entry in record["top"]}
  assert found == pytest.approx(expected, abs=1e-6)
  assert len(found) == 2  # fewer classes than the three that are shown


def test_a_terminal_without_accents(weights, photos):
  child = subprocess.run(
    [sys.executable, "-m", "hornet_jax", "predict", str(photos / "a.png"), f"--workdir={weights}"],
    env={**os.environ, "PYTHONIOENCODING": "ascii"},
    capture_output=True,
    text=True,
    check=False,
  )
  assert child.returncode == 0, child.stderr
  assert "caf\\xe9" in child.stdout


def test_modules_of_the_users_own(tmp_path, monkeypatch):
  """A config names the module that registers a model; a folder that is no package will do."""
  (tmp_path / "my_models.py").write_text(
    "import functools\n"
    "from hornet_jax import register\n"
    "from postcard import Postcard\n"
    "register('postcard_mine', functools.partial(Postcard, dim=12), image_size=16)\n"
  )
  (tmp_path / "my_broken_models.py").write_text("1 / 0\n")
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(str(tmp_path))
  monkeypatch.setattr("hornet_jax.models.registry.VARIANTS", dict(VARIANTS))
  config_flag.load("digits", ["--config.imports=('my_models',)"])
  assert create_model("postcard_mine").dim == 12
  for name, reason in (("my_other_models", "No module named"), ("my_broken_models", "division")):
    with pytest.raises(InputError, match=f"imported: '{name}' cannot: .*{reason}"):
      config_flag.load("digits", [f"--config.imports=({name!r},)"])
  with pytest.raises(InputError, match=r"ZeroDivisionError: .*my_broken_models\.py:1"):
    config_flag.load("digits", ["--config.imports=('my_broken_models',)"])
  VARIANTS.pop("postcard_mine", None)
  sys.modules.pop("my_models")
  assert main(["info", "postcard_mine", "--imports=my_models,json"]) == 0


def test_pictures_of_each_image_have_names_of_their_own(tmp_path):
  names = ["a/x.jpg", "a/y.jpg", "a/y.png", "a/y.jpg.jpg", "a/z", "a/../a/x.jpg", "b/x.jpg"]
  found = _picture_names([str(tmp_path / name) for name in names])
  assert list(found.values()) == [
    *("a/x", "a/y.jpg", "a/y.png", "a/y.jpg.jpg", "a/z", "a/x", "b/x"),
  ]


def test_pictures_replace_nothing_beside_images(tmp_path):
  """Masks that somebody has drawn are often called as those that are predicted."""
  images, link = tmp_path / "images", tmp_path / "link"
  images.mkdir()
  link.symlink_to(images)
  names = {str(images / "x.jpg"): "x"}
  _check_pictures_are_new(epath.Path(link), names, ["mask"])
  (images / "x_mask.png").write_bytes(b"drawn by hand")
  with pytest.raises(InputError, match=r"replace no file .* beside images: .*x_mask\.png is there"):
    _check_pictures_are_new(epath.Path(link), names, ["classes", "mask"])
  _check_pictures_are_new(epath.Path(tmp_path / "out"), names, ["mask"])
  _check_pictures_are_new(epath.Path("gs://bucket/out"), names, ["mask"])


def test_settings_of_another_task_are_refused(weights, photos, capfd):
  argv = ["predict", str(photos), f"--workdir={weights}", "--config.segmentation.eval_flip=True"]
  assert main(argv) == 2
  message = "`segmentation.eval_flip` must come with a model of task segmentation: this one is of"
  assert message in capfd.readouterr().err
