"""Published checkpoints become models of ours, through the command line."""

import dataclasses

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import traverse_util
from golden_data import Golden, assert_close, official_key
from keras_files import write_keras_file
from sources import start_of
from torch_files import official_checkpoint, write_torch_file

import hornet_jax
from hornet_jax import create_model
from hornet_jax.cli.main import main
from hornet_jax.convert.architecture import (
  nearest_variant,
  other_fields,
  problems_of,
  read_fields,
)
from hornet_jax.convert.checkpoint import read_checkpoint
from hornet_jax.convert.published import PUBLISHED, is_published, locate, variant_of
from hornet_jax.data.imagenet_classes import synsets
from hornet_jax.errors import InputError
from hornet_jax.models import VARIANTS, list_models
from hornet_jax.pretrained.class_map import read_class_map
from hornet_jax.pretrained.initialize import initialize_from
from hornet_jax.pretrained.model_io import to_pretrained
from hornet_jax.pretrained.spec import spec_of_checkpoint


@pytest.fixture(scope="module")
def golden():
  return Golden("cls_gf_sq64_exact")


@pytest.fixture(scope="module")
def state_dict(golden):
  return {k: np.asarray(v, np.float32) for k, v in golden.group("param/").items()}


@pytest.fixture
def official_file(state_dict, tmp_path):
  return write_torch_file(tmp_path / "official.pth", official_checkpoint(state_dict))


def assert_golden_logits(path, golden):
  out = path.with_suffix(".safetensors")
  if path != out:
    assert main(["convert", str(path), f"--out={out}", "--any_architecture"]) == 0
  model, params, _ = hornet_jax.load(out)
  images = jnp.asarray(golden.nhwc("input"))
  logits = jax.jit(lambda p, x: model.apply({"params": p}, x)[0])(params, images)
  assert_close(logits, golden.arrays["output"])


def test_an_official_checkpoint_gives_the_official_logits(golden, official_file, tmp_path, capfd):
  out, report = tmp_path / "new" / "model.safetensors", tmp_path / "report.txt"
  flags = [f"--out={out}", f"--report={report}", "--any_architecture"]
  assert main(["convert", str(official_file), *flags]) == 0
  printed = capfd.readouterr().out
  assert "95,924 parameters, 10 classes" in printed
  assert "with base_dim 8, depths [1, 1, 2, 1]" in printed
  became = dict(line.split()[1::-1] for line in report.read_text().splitlines())
  assert became["stem/conv/kernel"] == "downsample_layers.0.0.weight"
  for part in ("filter_re", "filter_im"):
    weight = "stages.2.0.gnconv.dwconv.complex_weight"
    assert became[f"stage_2/block_0/gnconv/dwconv/{part}"] == weight
  assert_golden_logits(out, golden)
  preprocessing = hornet_jax.load(out).preprocessing
  assert preprocessing.class_names == [str(k) for k in range(10)]
  assert (preprocessing.view.image_size, preprocessing.view.crop_fraction) == (224, 0.875)


def test_the_average_is_chosen_by_name(official_file, tmp_path):
  raw, ema = (
    read_checkpoint(official_file, weights, any_architecture=True).params["head"]["kernel"]
    for weights in ("raw", "ema")
  )
  np.testing.assert_array_equal(ema, 0.5 * raw)


def mmpretrain_names(state_dict):
  renamed = {}
  for name, value in state_dict.items():
    if name.startswith("norm."):
      new = f"backbone.norm3.{name.removeprefix('norm.')}"
    elif name.startswith("head."):
      new = f"head.fc.{name.removeprefix('head.')}"
    elif name.endswith(("gamma1", "gamma2")):
      new = f"backbone.{name}.weight"
    else:
      new = f"backbone.{name.replace('.pws.', '.projs.')}"
    renamed[new] = value
  return renamed


def test_mmpretrains_names(golden, state_dict, tmp_path):
  content = {"meta": {"epoch": 1}, "state_dict": mmpretrain_names(state_dict)}
  assert_golden_logits(write_torch_file(tmp_path / "mm.pth", content), golden)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.module.", "model._orig_mod."])
@pytest.mark.parametrize("keys", [[], ["state_dict", "model"], ["model", "module"]])
def test_wrapped_names(state_dict, tmp_path, prefix, keys):
  """Of parallel, compiled and Lightning modules, in any order, and dictionaries in each other."""
  content = {f"{prefix}{name}": value for name, value in state_dict.items()}
  for key in keys:
    content = {key: content, "epoch": 3}
  plain, wrapped = tmp_path / "plain.pth", tmp_path / "wrapped.pth"
  write_torch_file(plain, state_dict)
  write_torch_file(wrapped, content)
  expected, got = (read_checkpoint(path, any_architecture=True) for path in (plain, wrapped))
  jax.tree.map(np.testing.assert_array_equal, got.params, expected.params)


def test_names_of_keras_cv_attention_models(golden, state_dict, tmp_path):
  file = write_keras_file(tmp_path / "hornet.h5", state_dict)
  assert_golden_logits(file, golden)
  out = file.with_suffix(".safetensors")
  assert hash(hornet_jax.load(out).model) == hash(hornet_jax.load(out).model)
  with h5py.File(file, "a") as opened:
    # As Keras 3 calls it.
    group = opened["model_weights/stack1_block1_gnconv_list_dw_conv"]
    layer = group["stack1_block1_gnconv_list_dw_conv"]
    layer.move("depthwise_kernel:0", "kernel")
  assert_golden_logits(file, golden)
  with h5py.File(file, "a") as opened:
    layout = h5py.VirtualLayout((3,), np.float32)
    opened.create_virtual_dataset("model_weights/stem_ln/other/beta:0", layout)
  with pytest.raises(InputError, match=r"must hold its numbers itself: .*stem_ln"):
    read_checkpoint(file)
  with h5py.File(file, "a") as opened:
    del opened["model_weights/stem_ln/other"]
    opened["model_weights/other_layer/kernel:0"] = np.zeros(3)
  with pytest.raises(InputError, match="1 unknown: model_weights/other_layer/kernel:0"):
    read_checkpoint(file)


@pytest.mark.parametrize(
  "name", [n for n in list_models("hornet_*") if VARIANTS[n].origin == "paper"]
)
def test_every_published_model_is_told_by_its_shapes(name):
  model = create_model(name, depthwise="grouped", global_filter="fft")
  images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  params = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
  shapes = {}
  for path, leaf in traverse_util.flatten_dict(params).items():
    shape = leaf.shape
    if len(shape) == 4:  # HWIO
      shape = (shape[3], shape[2], *shape[:2])
    elif path[-1].startswith("filter_"):
      shape = (shape[2], *shape[:2], 2)
    elif len(shape) == 2:
      shape = shape[::-1]
    shapes[official_key(path)] = np.broadcast_to(np.float32(0), shape)
  fields = read_fields(shapes)
  assert nearest_variant(fields) == name
  assert other_fields(name, fields) == {}
  assert problems_of(shapes, name, 1000, {}) == []


def test_fine_tuning_takes_rows_of_the_head_and_resizes_filters(golden, official_file, tmp_path):
  checkpoint = read_checkpoint(official_file, any_architecture=True)
  source = to_pretrained(*spec_of_checkpoint(checkpoint))
  filters = ("7x7", "7x7", (6, 4), (3, 2))
  model = source.model.clone(num_classes=3, filters=filters)
  params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 64, 64, 3)))["params"]
  class_map = read_class_map("tests/golden/torch_class_map.pth")
  new, notes = initialize_from(model, params, *start_of(source), ["a", "b", "c"], class_map)
  for name in ("kernel", "bias"):
    expected = source.params["head"][name][..., [5, 2, 9]]
    np.testing.assert_array_equal(new["head"][name], expected)
  assert "head: 3 of 10 classes, by the class map" in notes
  assert new["stage_2"]["block_0"]["gnconv"]["dwconv"]["filter_re"].shape[:2] == (6, 4)
  np.testing.assert_array_equal(
    new["stem"]["conv"]["kernel"], source.params["stem"]["conv"]["kernel"]
  )
  # A head whose classes have WordNet ids needs no map; other names may mean anything.
  ids = [f"n0000000{k}" for k in range(10)]
  named = source._replace(preprocessing=dataclasses.replace(source.preprocessing, class_names=ids))
  by_id, notes = initialize_from(model, params, *start_of(named), [ids[5], ids[2], ids[9]])
  np.testing.assert_array_equal(by_id["head"]["kernel"], new["head"]["kernel"])
  assert "head: 3 of 10 classes, by WordNet id" in notes
  some, notes = initialize_from(model, params, *start_of(named), [ids[5], "n99999999", ids[9]])
  expected = np.array(params["head"]["kernel"])
  expected[:, [0, 2]] = source.params["head"]["kernel"][:, [5, 9]]
  np.testing.assert_array_equal(some["head"]["kernel"], expected)
  assert "head: 1 classes are not there and start anew: n99999999" in notes
  assert (
    "new head: the classes are others"
    in initialize_from(model, params, *start_of(source), ["5", "2", "9"])[1]
  )
  for wrong, message in (
    ([1, 2], "got 2"),
    ([1, 2, 10], "got 1 to 10"),
    ([1, 1, 2], "got some twice"),
  ):
    with pytest.raises(InputError, match=f"3 different numbers below 10, {message}"):
      initialize_from(model, params, *start_of(source), ["a", "b", "c"], np.array(wrong))
  plain = create_model("hornet_nano_7x7", num_classes=3)
  seven = jax.eval_shape(plain.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))["params"]
  with pytest.raises(InputError, match=r"and \d+ more"):
    initialize_from(plain, seven, *start_of(source), ["a", "b", "c"])


def test_class_maps_of_every_kind(tmp_path):
  (tmp_path / "map.txt").write_text("5\n2\n9\n")
  np.save(tmp_path / "map.npy", np.array([5, 2, 9]))
  for path in (tmp_path / "map.txt", tmp_path / "map.npy", "tests/golden/torch_class_map.pth"):
    np.testing.assert_array_equal(read_class_map(str(path)), [5, 2, 9])
  (tmp_path / "map.txt").write_text("a\n")
  np.save(tmp_path / "map.npy", np.zeros((2, 2)))
  for path in (tmp_path / "map.txt", tmp_path / "map.npy", tmp_path / "none.txt"):
    with pytest.raises(InputError, match=r"class map .* must be a list of integers"):
      read_class_map(str(path))


def test_published_checkpoints_are_found_or_said_to_be_missing(
  official_file, tmp_path, monkeypatch, capfd
):
  monkeypatch.setenv("HORNET_CACHE", str(tmp_path))
  assert is_published("official:hornet_tiny_gf")
  assert not is_published("runs/official")
  monkeypatch.setattr("urllib.request.urlopen", no_network)
  assert main(["convert", "official:hornet_tiny_gf", f"--out={tmp_path / 'a.safetensors'}"]) == 2
  message = capfd.readouterr().err
  assert message.count("\n") == 1
  assert "https://cloud.tsinghua.edu.cn/f/511faad0bde94dfcaa54/?dl=1: no route" in message
  place = tmp_path / "official_hornet_tiny_gf.pth"
  assert f"put it at {place}" in message
  official_file.rename(place)
  assert locate("official:hornet_tiny_gf") == place
  (tmp_path / "mmpretrain_hornet_tiny_gf.pth").write_bytes(b"other")
  with pytest.raises(InputError, match=r"sha256 4c35a66b\.\.\.: got d9298a10"):
    locate("mmpretrain:hornet_tiny_gf")
  with pytest.raises(InputError, match="did you mean 'official:hornet_tiny_gf'"):
    locate("official:hornet_tiny_gff")


def no_network(url, timeout):
  raise OSError("no route to host")


def test_the_registry_is_well_formed():
  for name, published in PUBLISHED.items():
    assert variant_of(name) in VARIANTS, name
    assert published.url.startswith("https://")
    assert len(published.digest) in (0, 8, 32)
  assert len({published.url for published in PUBLISHED.values()}) == len(PUBLISHED)


def test_a_thousand_classes_are_those_of_imagenet(state_dict, tmp_path):
  names = synsets()
  assert len(names) == 1000
  assert names == sorted(names)
  assert names[0] == "n01440764"
  head = {
    "head.weight": np.zeros((1000, 64), np.float32),
    "head.bias": np.zeros(1000, np.float32),
  }
  file = write_torch_file(tmp_path / "a.pth", {"model": {**state_dict, **head}})
  out = tmp_path / "a.safetensors"
  assert main(["convert", str(file), f"--out={out}", "--image_size=384", "--any_architecture"]) == 0
  preprocessing = hornet_jax.load(out).preprocessing
  assert preprocessing.class_names == names
  assert (preprocessing.view.image_size, preprocessing.view.warp) == (384, True)
  assert set(safetensors.numpy.load(out.read_bytes())) >= {"head/kernel", "stem/conv/kernel"}
