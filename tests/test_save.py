"""A model of one's own loop goes to a file and back; a file of another kind is named."""

import dataclasses
import io
import re

import jax
import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

import hornet_jax
from hornet_jax.cli.main import main
from hornet_jax.data.pixels.pixel_format import PixelFormat
from hornet_jax.data.views.eval_view import EvalView
from hornet_jax.data.views.preprocess import Preprocessing
from hornet_jax.errors import InputError
from hornet_jax.file_kind import file_kind
from hornet_jax.models.stacking import stack_blocks
from hornet_jax.pretrained.save import describe_model


def made(**fields):
  model = hornet_jax.create_model("hornet_nano_gf", num_classes=3, scan=True, **fields)
  view = EvalView(32, 0.9, pixel_format=PixelFormat(5, 4095.0))
  preprocessing = Preprocessing(view, (0.1,) * 5, (0.2,) * 5, ("a", "b", "é"))
  images = jax.random.normal(jax.random.key(0), (2, 32, 32, 5))
  params = model.init(jax.random.key(1), images)["params"]
  return model, params, preprocessing, images


@pytest.mark.parametrize("fields", [{}, {"patch_size": 2, "drop_path_rate": 0.25}])
@pytest.mark.parametrize("stacked", [False, True])
def test_there_and_back(tmp_path, fields, stacked):
  model, params, preprocessing, images = made(**fields)
  given = stack_blocks({"params": params})["params"] if stacked else params
  hornet_jax.save(tmp_path / "m.safetensors", model, given, preprocessing)
  back, its_params, its_preprocessing = hornet_jax.load(tmp_path / "m.safetensors")
  jax.tree.map(np.testing.assert_array_equal, its_params, dict(params))
  assert describe_model(back) == describe_model(model)
  assert its_preprocessing.view == preprocessing.view
  assert tuple(its_preprocessing.class_names) == preprocessing.class_names
  np.testing.assert_allclose(its_preprocessing.mean, preprocessing.mean)
  its_params = jax.device_put(its_params)
  expected = model.apply({"params": params}, images)[0]
  np.testing.assert_allclose(back.apply({"params": its_params}, images)[0], expected, atol=1e-6)


def test_what_cannot_be_saved(tmp_path):
  model, params, preprocessing, _ = made()
  file = tmp_path / "m.safetensors"
  unnamed = dataclasses.replace(preprocessing, class_names=())
  with pytest.raises(InputError, match="expected 3 class_names, got 0"):
    hornet_jax.save(file, model, params, unnamed)
  with pytest.raises(InputError, match="params` must be those of the model: head/bias is missing"):
    hornet_jax.save(file, model, {k: v for k, v in params.items() if k != "head"}, preprocessing)
  with pytest.raises(InputError, match=r"must end in \.safetensors"):
    hornet_jax.save(tmp_path / "m.npz", model, params, preprocessing)
  assert not list(tmp_path.iterdir())


def test_pretrained_is_a_file_of_its_own():
  with pytest.raises(InputError, match=r"Hint: .*hornet_jax\.load\('official:hornet_tiny_gf'\)"):
    hornet_jax.create_model("hornet_tiny_gf", pretrained=True)


def png():
  buffer = io.BytesIO()
  Image.new("RGB", (4, 4)).save(buffer, "PNG")
  return buffer.getvalue()


def npz():
  buffer = io.BytesIO()
  np.savez(buffer, a=np.zeros(3))
  return buffer.getvalue()


KINDS = {
  "cat.png": (png(), "a PNG image"),
  "m.safetensors": (safetensors.numpy.save({"a": np.zeros(3)}), "a safetensors file"),
  "k.h5": (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
  "a.npy": (b"\x93NUMPY", "a NumPy file"),
  "a.npz": (npz(), "a zip file"),
  "a.zip": (b"PK\x03\x04broken", "a damaged zip file"),
  "a.txt": ("schön\n".encode(), "a text file"),
  "a.bin": (bytes(range(128, 256)), "a file of a kind that is not known"),
  "empty": (b"", "an empty file"),
}


@pytest.mark.parametrize("name", KINDS)
def test_kinds(tmp_path, name):
  content, kind = KINDS[name]
  (tmp_path / name).write_bytes(content)
  assert file_kind(tmp_path / name) == kind
  assert file_kind(tmp_path) == "a folder"


@pytest.fixture
def files(tmp_path):
  for name, (content, _) in KINDS.items():
    (tmp_path / name).write_bytes(content)
  (tmp_path / "cat.pth").write_bytes(png())
  (tmp_path / "cat.safetensors").write_bytes(png())
  (tmp_path / "cat.h5").write_bytes(png())
  return tmp_path


@pytest.mark.parametrize(
  ("command", "message"),
  [
    ("predict {}/cat.png --workdir={}/cat.png", "cat.png is a PNG image"),
    ("predict {}/cat.png --workdir={}/cat.pth", "cat.pth .* it is a PNG image"),
    ("predict {}/cat.png --workdir={}/cat.safetensors", "it is a PNG image"),
    ("predict {}/cat.png --workdir={}/cat.h5", "it is a PNG image"),
    (
      "convert {}/m.safetensors --out={}/x.safetensors",
      "is known here.*got a among 1 array",
    ),
    ("export --workdir={}/m.safetensors --out={}/x.safetensors", "got a among 1 array"),
    ("export --workdir={}/cat.png --out={}/x.safetensors", "is a PNG image"),
    ("checkpoint list --workdir={}/m.safetensors", "is a safetensors file"),
    ("evaluate --workdir={}/cat.png", "is a PNG image"),
    ("train --config=digits --workdir={}/a.txt", "is a text file"),
  ],
)
def test_the_commands_name_them(files, capfd, command, message):
  assert main(command.format(files, files).split()) == 2
  error = capfd.readouterr().err
  error = error.removeprefix("preparing digits ...\n")
  assert error.startswith("hornet: error: ")
  assert error.count("\n") == 1
  assert re.search(message, error), error
