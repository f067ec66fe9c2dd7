"""Checkpoints that are not what they are taken for are refused, with all that is wrong."""

import h5py
import numpy as np
import pytest
from golden_data import Golden
from keras_files import write_keras_file
from torch_files import write_torch_file

import hornet_jax
from hornet_jax.cli.main import main
from hornet_jax.convert.checkpoint import read_checkpoint
from hornet_jax.errors import InputError
from hornet_jax.models import VARIANTS, HorNet
from hornet_jax.models.registry import Variant

FILTER = "stages.2.0.gnconv.dwconv.complex_weight"


@pytest.fixture(scope="module")
def state_dict():
  params = Golden("cls_gf_sq64_exact").group("param/")
  return {k: np.asarray(v, np.float32) for k, v in params.items()}


@pytest.fixture
def small_gf(monkeypatch):
  """The reference arrays become those of the published hornet_tiny_gf."""
  config = Golden("cls_gf_sq64_exact").config
  fields = {key: config[key] for key in ("base_dim", "depths", "orders")}
  fields["filters"] = [tuple(size) if size else "7x7" for size in config["gf_filter_hw"]]
  monkeypatch.setitem(VARIANTS, "hornet_tiny_gf", Variant(HorNet, "paper", 64, fields))


def message_of(path, **options):
  with pytest.raises(InputError) as caught:
    read_checkpoint(path, **options)
  return str(caught.value)


def without(state_dict, *parts):
  return {k: v for k, v in state_dict.items() if not any(part in k for part in parts)}


@pytest.mark.parametrize(
  ("parts", "missing"),
  [
    (["stages.2.1."], "stages.2.1.norm1.bias is missing"),
    (["gamma"], "stages.0.0.gamma1 is missing"),
    (["head."], "head.bias is missing; head.weight is missing"),
    ([FILTER], f"{FILTER} is missing"),
    (["stages.2.1.norm1.bias"], "stages.2.1.norm1.bias is missing"),
    (["stages.3.", "norm.", "head."], "stages.3.0.gnconv.proj_in.weight is missing"),
  ],
)
@pytest.mark.parametrize("by_name", [False, True])
def test_a_cut_file_is_refused(
  parts, missing, by_name, state_dict, small_gf, tmp_path, monkeypatch
):
  monkeypatch.setenv("HORNET_CACHE", str(tmp_path))
  path = write_torch_file(
    tmp_path / "official_hornet_tiny_gf.pth", {"model": without(state_dict, *parts)}
  )
  report, out = tmp_path / "report.txt", tmp_path / "a.safetensors"
  assert main(["convert", str(path), f"--out={out}", f"--report={report}"]) == 2
  assert not out.exists()
  listed = report.read_text()
  for line in missing.split("; "):
    assert f"{line}\n" in listed
  lost = sum(any(part in name for part in parts) for name in state_dict)
  assert len(listed.splitlines()) >= lost - 1  # a head of another number of classes
  with pytest.raises(InputError, match="must hold hornet_tiny_gf, whole and nothing else"):
    hornet_jax.load("official:hornet_tiny_gf")


def test_a_name_means_its_model(state_dict, small_gf, tmp_path, monkeypatch, capfd):
  monkeypatch.setenv("HORNET_CACHE", str(tmp_path))
  for name in ("hornet_tiny_gf", "hornet_tiny_7x7"):
    write_torch_file(tmp_path / f"official_{name}.pth", {"model": state_dict})
  assert hornet_jax.load("official:hornet_tiny_gf").model.base_dim == 8
  with pytest.raises(InputError, match=r"hornet_tiny_7x7\.pth must hold hornet_tiny_7x7, whole"):
    hornet_jax.load("official:hornet_tiny_7x7")
  flags = [f"--out={tmp_path / 'a.safetensors'}", "--any_architecture"]
  assert main(["convert", "official:hornet_tiny_7x7", *flags]) == 2
  assert "--any_architecture is for files" in capfd.readouterr().err


def test_another_architecture_needs_the_flag(state_dict, tmp_path, capfd):
  path = write_torch_file(tmp_path / "own.pth", {"model": state_dict})
  message = message_of(path)
  assert "own.pth must hold hornet_" in message
  assert "downsample_layers.0.0.bias is (8,) instead of (64,); " in message
  assert message.count(";") >= 20
  assert " and " in message
  assert "base_dim 8, depths [1, 1, 2, 1]" in message
  assert "`hornet convert --any_architecture`" in message
  bare = write_torch_file(tmp_path / "bare.pth", {"model": without(state_dict, "gamma", "head.")})
  out = tmp_path / "bare.safetensors"
  assert main(["convert", str(bare), f"--out={out}", "--any_architecture"]) == 0
  printed = capfd.readouterr().out
  assert "layer_scale_init None" in printed
  assert "parameters, 0 classes" in printed
  # It takes what is whole only.
  cut = write_torch_file(tmp_path / "cut.pth", {"model": without(state_dict, "stages.2.0.norm1")})
  message = message_of(cut, any_architecture=True)
  assert "stages.2.0.norm1.bias is missing; stages.2.0.norm1.weight is missing" in message


def test_a_stem_alone(state_dict, tmp_path):
  stem = {k: v for k, v in state_dict.items() if k.startswith("downsample_layers.0.")}
  path = write_torch_file(tmp_path / "stem.pth", {"model": stem})
  for options in ({}, {"any_architecture": True}):
    message = message_of(path, **options)
    assert "downsample_layers.1.0.bias is missing; " in message
    assert message.count("is missing") + message.count("instead of") == 20
    assert "more." in message


def test_what_does_not_fit_is_listed(state_dict, small_gf, tmp_path):
  def message(content):
    return message_of(write_torch_file(tmp_path / "bad.pth", content))

  extra = {**state_dict, "stages.0.0.extra.weight": np.zeros(2, np.float32)}
  assert "stages.0.0.extra.weight is left over." in message({"model": extra})
  other = {**state_dict, "norm.bias": np.zeros(5, np.float32)}
  assert "norm.bias is (5,) instead of (64,)." in message({"model": other})
  flat = {**state_dict, FILTER: np.zeros((30, 4, 3), np.float32)}
  assert f"{FILTER} is (30, 4, 3) instead of (30, 4, 3, 2)." in message({"model": flat})
  broken = {**state_dict, "norm.bias": np.full(64, np.nan, np.float32)}
  assert "norm.bias is not finite" in message({"model": broken})
  foreign = {"fc.weight": np.zeros((2, 2), np.float32)}
  assert "must hold a HorNet: expected arrays such as" in message({"model": foreign})
  assert "got fc.weight among 1." in message({"model": foreign})
  assert "it holds epoch" in message({"epoch": 3})
  assert "weights by their names: expected such as" in message({"model": {0: state_dict}})
  twice = {**state_dict, "head.fc.bias": np.zeros(10, np.float32)}
  twice["backbone.norm3.bias"] = np.zeros(64, np.float32)
  assert "must hold each array once: head.bias, norm.bias twice." in message({"state_dict": twice})
  with pytest.raises(InputError, match="weights under model_ema or ema_state_dict"):
    read_checkpoint(write_torch_file(tmp_path / "raw.pth", {"model": state_dict}), "ema")


def test_odd_arrays_of_keras_are_named(state_dict, tmp_path):
  file = write_keras_file(tmp_path / "hornet.h5", state_dict)
  layer = "model_weights/stack3_block1_gnconv_gf_complex_dense"
  with h5py.File(file, "a") as opened:
    (name,) = [f"{layer}/{key}/complex_weight:0" for key in opened[layer]]
    del opened[name]
    opened[name] = np.zeros((2, 4, 3), np.float32)
  assert f"{name} is (2, 4, 3) of float32." in message_of(file)
  with h5py.File(file, "a") as opened:
    del opened[name]
    opened[name] = "text"
  assert f"{name} is () of object." in message_of(file)
