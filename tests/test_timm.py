"""Models of timm are read from their files, and compute what timm computes."""

import io
import json
import shutil
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import traverse_util
from golden_data import GOLDEN, assert_close

import hornet_jax
from hornet_jax.cli.main import main
from hornet_jax.convert.timm import find_family, params_from_timm
from hornet_jax.convert.timm_file import read_arrays, read_timm_file
from hornet_jax.errors import InputError, MismatchError
from hornet_jax.models import create_model

FAMILIES = ("convnext", "swin", "vit")


def read(name):
  return read_timm_file(GOLDEN / f"timm_{name}" / "model.safetensors", any_architecture=True)


def model_of(converted):
  return create_model(converted.variant, num_classes=converted.num_classes, **converted.overrides)


def flat(tree):
  return traverse_util.flatten_dict(tree, sep="/")


@pytest.mark.parametrize("name", FAMILIES)
def test_outputs_and_gradients(name):
  converted = read(name)
  model, params = model_of(converted), converted.params
  arrays = np.load(GOLDEN / f"timm_{name}" / "arrays.npz")
  family = find_family(read_arrays(GOLDEN / f"timm_{name}" / "model.safetensors"))

  def loss(params, images):
    logits, _ = model.apply({"params": params}, images)
    return jnp.mean(logits**2), logits

  quick = {"xla_backend_optimization_level": 0}  # to compile
  run = jax.jit(jax.grad(loss, (0, 1), has_aux=True), compiler_options=quick)
  for size in sorted({key.split("/")[0] for key in arrays}):
    images = arrays[f"{size}/images"].transpose(0, 2, 3, 1)
    gradients, logits = run(params, images)
    assert_close(logits, arrays[f"{size}/logits"], 1e-5, size)
    assert_close(
      gradients[1].transpose(0, 3, 1, 2), arrays[f"{size}/grad/images"], 1e-4, f"{size} images"
    )
    theirs = {
      key.removeprefix(f"{size}/grad/"): arrays[key]
      for key in arrays
      if key.startswith(f"{size}/grad/") and not key.endswith("images")
    }
    wanted, _ = params_from_timm(theirs, family)
    ours = flat(gradients[0])
    for path, gradient in flat(wanted).items():
      if gradient.shape == ours[path].shape:
        assert_close(ours[path], gradient, 1e-4, f"{size} {path}")
    assert size != "64x64" or len(flat(wanted)) == len(ours)


@pytest.fixture
def folder(tmp_path):
  """A copy of the micro Swin as on timm's hub."""
  return shutil.copytree(GOLDEN / "timm_swin", tmp_path / "swin")


def change(folder, function):
  arrays = dict(safetensors.numpy.load_file(folder / "model.safetensors"))
  function(arrays)
  safetensors.numpy.save_file(arrays, folder / "model.safetensors", {"format": "pt"})


def test_a_converted_file_keeps_the_preprocessing_of_its_weights(folder, tmp_path, capfd):
  out, report = tmp_path / "swin.safetensors", tmp_path / "report.txt"
  file = folder / "model.safetensors"
  command = ["convert", str(file), f"--out={out}", f"--report={report}"]
  assert main(command) == 2
  error = capfd.readouterr().err
  assert "it looks like swin_tiny with base_dim 8, depths (2, 2, 3), num_heads (1, 2, 4)" in error
  assert "--any_architecture" in error
  assert main([*command, "--any_architecture"]) == 0
  lines = [line.split() for line in report.read_text().splitlines()]
  names = safetensors.numpy.load_file(file).keys()
  assert {line[0] for line in lines[2:]} == set(names)
  table = "layers.0.blocks.1.attn.relative_position_bias_table"
  at = "stage_0/block_1/attention/relative_bias"
  assert [line[1:3] for line in lines if line[0] == table] == [[at, "7x7x1"]]
  model, params, preprocessing = hornet_jax.load(out)
  assert (model.window, model.depths) == (4, (2, 2, 3))
  assert preprocessing.mean == [0.5, 0.4, 0.3]
  assert preprocessing.std == [0.2, 0.25, 0.3]
  assert (preprocessing.view.image_size, preprocessing.view.crop_fraction) == (64, 0.9)
  assert flat(params).keys() == flat(read("swin").params).keys()


def test_a_published_architecture_is_loaded_as_it_is(tmp_path):
  """By the name in `config.json`, or without it by its shapes, for images of another size too."""
  model = create_model("deit_small", num_classes=3, grid=(24, 24), depths=(12,))
  shapes = jax.eval_shape(
    model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 384, 384, 3), jnp.float32)
  )["params"]
  arrays = {}
  for path, leaf in flat(shapes).items():
    name = path.replace("stage_0/block_", "blocks/").replace("attention", "attn")
    name = name.replace("stem/conv", "patch_embed/proj").replace("/", ".")
    name = name.replace("kernel", "weight").replace("scale", "weight")
    shape = leaf.shape[::-1] if len(leaf.shape) == 2 else leaf.shape
    shape = (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape
    if "tokens" not in name:
      arrays[name] = np.zeros(shape, np.float16)
  arrays |= {
    "cls_token": np.zeros((1, 1, 384), np.float16),
    "pos_embed": np.zeros((1, 577, 384), np.float16),
  }
  file = tmp_path / "model.safetensors"
  safetensors.numpy.save_file(arrays, file)
  loaded, params, preprocessing = hornet_jax.load(file)
  assert loaded.grid == (24, 24)
  assert flat(jax.tree.map(jnp.shape, params)) == flat(jax.tree.map(jnp.shape, shapes))
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}
  assert preprocessing.class_names == ["0", "1", "2"]
  config = {"architecture": "deit_small_patch16_224", "num_classes": 3}
  config["pretrained_cfg"] = {"input_size": [3, 384, 384], "crop_pct": 1.0, "crop_mode": "squash"}
  (tmp_path / "config.json").write_text(json.dumps(config))
  view = hornet_jax.load(file).preprocessing.view
  assert (view.image_size, view.crop_fraction, view.warp) == (384, 1.0, True)


@pytest.mark.parametrize(
  ("damage", "message"),
  [
    (lambda a: a.pop("norm.weight"), "norm/scale is missing"),
    (
      lambda a: a.update({"head.fc.more": a["head.fc.bias"]}),
      r"head/more is left over \(in the file head\.fc\.more\)",
    ),
    (
      lambda a: a.update({"layers.1.downsample.reduction.weight": np.zeros((9, 32), np.float32)}),
      r"downsample_1/reduction/kernel is \(32, 9\) instead of \(32, 16\) \(in the file layers\.1",
    ),
    (
      lambda a: a.update({"head.fc.bias": np.full(5, np.nan, np.float32)}),
      r"head\.fc\.bias is not finite",
    ),
  ],
)
def test_what_does_not_fit_is_named(folder, damage, message):
  change(folder, damage)
  with pytest.raises(MismatchError, match=message):
    read_timm_file(folder / "model.safetensors", any_architecture=True)


@pytest.mark.parametrize(
  ("config", "message"),
  [
    ("{", "config.json must be as timm writes it"),
    ('{"pretrained_cfg": {"input_size": [3, 64, 48]}}', "square images.*got 64x48, bicubic"),
    ('{"pretrained_cfg": {"interpolation": "bilinear"}}', "bicubically: got 224x224, bilinear"),
    ('{"pretrained_cfg": {"mean": 3}}', "config.json must be as timm writes it"),
  ],
)
def test_a_description_that_cannot_be_followed(folder, config, message):
  (folder / "config.json").write_text(config)
  with pytest.raises(InputError, match=message):
    read_timm_file(folder / "model.safetensors", any_architecture=True)


def test_other_files_are_refused(tmp_path):
  file = tmp_path / "model.safetensors"
  safetensors.numpy.save_file({"stem.0.conv.weight": np.zeros(3)}, file)
  with pytest.raises(InputError, match=r"ConvNext, Swin, VisionTransformer.*got stem\.0\.conv"):
    hornet_jax.load(file)
  file.write_bytes(file.read_bytes()[:40])
  with pytest.raises(InputError, match=r"model\.safetensors must be a file that"):
    hornet_jax.load(file)


def test_names_of_the_hub(tmp_path, monkeypatch, folder):
  """Both files are fetched, the description first; nothing is fetched twice."""
  asked = []

  def answer(url, timeout):
    asked.append(url)
    content = (folder / url.rpartition("/")[2]).read_bytes()
    return Answer(content)

  class Answer(io.BytesIO):
    headers: ClassVar = {}

  monkeypatch.setenv("HORNET_CACHE", str(tmp_path / "cache"))
  monkeypatch.setattr("urllib.request.urlopen", answer)
  for _ in range(2):
    with pytest.raises(MismatchError, match="it looks like swin_tiny with base_dim 8"):
      hornet_jax.load("timm:swin_mini.in1k")
  root = "https://huggingface.co/timm/swin_mini.in1k/resolve/main"
  assert asked == [f"{root}/config.json", f"{root}/model.safetensors"]
