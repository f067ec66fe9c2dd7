"""Weights go into and out of detectors, and what does not fit is named."""

import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from golden_data import GOLDEN, Golden
from test_detection_model import CLASSES, renamed
from torch_files import write_torch_file

from hornet_jax import create_model
from hornet_jax.cli.main import main
from hornet_jax.convert.checkpoint import read_checkpoint
from hornet_jax.convert.detection import network_from_mmdet
from hornet_jax.convert.mmdet import mmdet_from_variables, variables_from_mmdet
from hornet_jax.convert.mmdet_layers import Layout, kernel_from, weight_from
from hornet_jax.convert.to_official import zeros_of
from hornet_jax.convert.torch_file import read_torch_file
from hornet_jax.dense import attach_detector
from hornet_jax.errors import InputError, MismatchError
from hornet_jax.models.param_info import map_params
from hornet_jax.pretrained.spec import ModelSpec, Weights
from hornet_jax.pretrained.start import start_from
from hornet_jax.pretrained.task_model import load_task_model

NAMES = ["boat", "gull", "buoy"]
MODEL = {
  "variant": "hornet_tiny_gf",
  "dtype": "float32",
  "base_dim": 8,
  "depths": [1, 1, 1, 1],
}
BACKBONE = create_model(MODEL["variant"], num_classes=0, base_dim=8, depths=(1, 1, 1, 1))
SETTINGS = {"kind": "mask_rcnn", "neck": "conv", "channels": 8, "hidden": 4}
CASCADE = {"kind": "cascade", "neck": "7x7", "channels": 16, "hidden": 4}


def flat(tree):
  return traverse_util.flatten_dict(tree, sep="/")


def assert_same(found, expected):
  assert flat(found).keys() == flat(expected).keys()
  jax.tree.map(np.testing.assert_array_equal, found, expected)


def random_variables(model, seed=0):
  images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  abstract = jax.eval_shape(model.init, jax.random.key(0), images)
  rng = np.random.default_rng(seed)
  return jax.tree.map(lambda leaf: rng.uniform(0.5, 1, leaf.shape).astype(np.float32), abstract)


def as_file(arrays):
  return {name: (name, value) for name, value in arrays.items()}


def contiguous(arrays):
  return {name: value.copy() for name, value in arrays.items()}


def read(arrays):
  return network_from_mmdet(pathlib.Path("a.pth"), as_file(arrays), any_architecture=True)


@pytest.fixture(scope="module")
def network():
  return attach_detector(BACKBONE, 3, **SETTINGS)


@pytest.fixture(scope="module")
def variables(network):
  return random_variables(network)


@pytest.fixture(scope="module")
def arrays(variables):
  return contiguous(mmdet_from_variables(variables))


# Layouts.


def test_layouts_are_those_that_agree_with_torchvision():
  """Its weights under mmdet's names become the parameters by which the models agree."""
  given = np.load(GOLDEN / "detection_model.npz")
  given = {k.removeprefix("param/"): given[k] for k in given.files if k.startswith("param/")}
  theirs = {
    "backbone.fpn.inner_blocks.{}.0": "neck.lateral_convs.{}.conv",
    "backbone.fpn.layer_blocks.{}.0": "neck.fpn_convs.{}.conv",
    "rpn.head.conv.0.0": "rpn_head.rpn_conv",
    "rpn.head.cls_logits": "rpn_head.rpn_cls",
    "rpn.head.bbox_pred": "rpn_head.rpn_reg",
    "roi_heads.box_head.fc6": "roi_head.bbox_head.shared_fcs.0",
    "roi_heads.box_head.fc7": "roi_head.bbox_head.shared_fcs.1",
    "roi_heads.box_predictor.cls_score": "roi_head.bbox_head.fc_cls",
    "roi_heads.box_predictor.bbox_pred": "roi_head.bbox_head.fc_reg",
    "roi_heads.mask_head.{}.0": "roi_head.mask_head.convs.{}.conv",
    "roi_heads.mask_predictor.conv5_mask": "roi_head.mask_head.upsample",
    "roi_heads.mask_predictor.mask_fcn_logits": "roi_head.mask_head.conv_logits",
  }
  # Here and in mmdet the background comes last, and has neither a box nor a mask.
  rows = {"fc_cls": [*range(1, CLASSES + 1), 0], "conv_logits": [*range(1, CLASSES + 1)]}
  rows["fc_reg"] = [*range(4, 4 * CLASSES + 4)]
  state_dict = {}
  for name, value in given.items():
    module, _, leaf = name.rpartition(".")
    number = next((part for part in module.split(".")[2:] if part.isdigit()), "")
    pattern = module.replace(f".{number}.", ".{}.", 1) if module not in theirs else module
    ours = theirs[pattern].format(number)
    chosen = rows.get(ours.rpartition(".")[2])
    state_dict[f"{ours}.{leaf}"] = value if chosen is None else value[chosen]
  found = variables_from_mmdet(state_dict)["params"]["head"]
  expected = renamed(given)
  del expected["norms"]
  assert_same(found, expected)


def test_the_layer_on_a_region_reads_its_features_in_our_order():
  rng = np.random.default_rng(0)
  region = rng.normal(size=(5, 7, 7))  # [C, h, w], which PyTorch flattens
  weight = rng.normal(size=(6, 5 * 49))
  kernel = kernel_from(Layout.REGION, weight)
  np.testing.assert_allclose(
    region.transpose(1, 2, 0).reshape(-1) @ kernel, weight @ region.ravel()
  )
  np.testing.assert_array_equal(weight_from(Layout.REGION, kernel), weight)
  assert kernel_from(Layout.REGION, weight[:, 1:]) is None


def test_the_layer_that_enlarges_puts_each_point_where_pytorch_does():
  rng = np.random.default_rng(0)
  x, weight = (
    rng.normal(size=(3, 4, 2)),
    rng.normal(size=(2, 5, 2, 2)),
  )  # [h, w, in], [in, out, ...]
  expected = np.einsum("ijc,cdab->iajbd", x, weight).reshape(6, 8, 5)
  module = nn.ConvTranspose(5, (2, 2), (2, 2), padding="VALID", use_bias=False)
  kernel = kernel_from(Layout.TRANSPOSED, weight)
  found = module.apply({"params": {"kernel": kernel}}, x[None])[0]
  np.testing.assert_allclose(found, expected, atol=1e-5)
  np.testing.assert_array_equal(weight_from(Layout.TRANSPOSED, kernel), weight)


# Files.


def official_cascade():
  """Official arrays of backbone and neck, and heads by mmdet's names, made up."""
  backbone = Golden("dense_backbone_gf_interp").group("param/")
  neck = Golden("neck_horfpn_7x7").group("param/")
  rng = np.random.default_rng(0)
  shapes = {f"rpn_head.rpn_{n}": (c, 16, s, s) for n, c, s in (("conv", 16, 3), ("cls", 3, 1))}
  shapes["rpn_head.rpn_reg"] = (12, 16, 1, 1)
  norms = []
  for i in range(3):
    box, mask = f"roi_head.bbox_head.{i}", f"roi_head.mask_head.{i}"
    norms += [f"{box}.shared_convs.{j}.bn" for j in range(4)]
    shapes |= {f"{box}.shared_convs.{j}.conv": (16, 16, 3, 3) for j in range(4)}
    shapes |= {f"{box}.shared_fcs.0": (4, 784), f"{box}.fc_cls": (4, 4), f"{box}.fc_reg": (12, 4)}
    shapes |= {f"{mask}.convs.{j}.conv": (16, 16, 3, 3) for j in range(4)}
    shapes |= {f"{mask}.upsample": (16, 16, 2, 2), f"{mask}.conv_logits": (3, 16, 1, 1)}
  found = {f"backbone.{name}": value for name, value in backbone.items()}
  found |= {f"neck.{name}": value for name, value in neck.items()}
  for name, shape in shapes.items():
    found[f"{name}.weight"] = rng.normal(size=shape)
    if ".shared_convs." not in name:
      found[f"{name}.bias"] = rng.normal(size=shape[1] if name.endswith("upsample") else shape[0])
  for name in norms:
    for leaf in ("weight", "bias", "running_mean", "running_var"):
      found[f"{name}.{leaf}"] = rng.uniform(1, 2, size=16)
    found[f"{name}.num_batches_tracked"] = np.array(7)
  return {
    name: value if name.endswith("tracked") else np.asarray(value, np.float32)
    for name, value in found.items()
  }


def test_a_cascade_in_and_out(tmp_path, capfd):
  """All names of the official code, and the very numbers, by the commands of a user."""
  official = official_cascade()
  content = {"meta": {"CLASSES": tuple(NAMES)}, "state_dict": official}
  file = write_torch_file(tmp_path / "network.pth", content)
  ours, theirs, report = (tmp_path / name for name in ("a.safetensors", "a.pth", "report.txt"))
  flags = [f"--out={ours}", f"--report={report}", "--any_architecture"]
  assert main(["convert", str(file), *flags]) == 0
  printed = capfd.readouterr().out
  assert "detection, hornet_tiny_gf with base_dim 8" in printed
  assert "kind cascade, neck 7x7, channels 16, hidden 4" in printed
  lines = report.read_text().splitlines()
  assert len(lines) == 2 + len(official) - 12 + 2  # a spectral filter is two arrays here
  told = {tuple(line.split()[:3]) for line in lines}
  head = "head/box_heads_2"
  assert ("roi_head.bbox_head.2.shared_fcs.0.weight", f"{head}/fc/kernel", "784x4") in told
  name = "roi_head.bbox_head.2.shared_convs.3.bn.running_var"
  assert (name, f"batch_stats/{head}/conv_3/bn/var", "16") in told
  loaded = load_task_model(str(ours))
  assert (loaded.task.num_classes, list(loaded.class_names)) == (3, NAMES)
  assert loaded.model == attach_detector(BACKBONE, 3, **CASCADE)
  assert main(["export", f"--workdir={ours}", f"--out={theirs}"]) == 0
  again = read_torch_file(theirs, lambda content: content["state_dict"])
  assert again.keys() == official.keys()
  for name, value in official.items():
    if not name.endswith("tracked"):
      np.testing.assert_array_equal(again[name], value, err_msg=name)


def test_mask_rcnn_comes_back(arrays, variables):
  """Its one head of each kind has no number there."""
  assert "roi_head.bbox_head.shared_fcs.1.weight" in arrays
  assert not any(
    name.startswith(("roi_head.bbox_head.0", "roi_head.mask_head.0")) for name in arrays
  )
  found = read(arrays)
  assert found.settings == SETTINGS
  assert (found.num_classes, found.state, found.class_names) == (3, {}, ())
  assert_same({"params": found.params}, variables)


def test_what_does_not_fit_is_named(arrays):
  broken = dict(arrays)
  del broken["neck.lateral_convs.1.conv.weight"], broken["backbone.norm3.bias"]
  broken["neck.fpn_convs.4.conv.bias"] = np.ones(8, np.float32)
  broken["roi_head.mask_head.upsample.weight"] = np.ones((8, 4, 2, 2), np.float32)
  broken["roi_head.bbox_head.fc_reg.bias"] = np.ones(16, np.float32)  # of four classes
  broken["rpn_head.rpn_cls.bias"] = np.full(3, np.nan, np.float32)
  with pytest.raises(MismatchError, match=r"must hold Mask R-CNN on hornet_tiny_gf") as refused:
    read(broken)
  assert refused.value.problems == [
    "backbone.norm3.bias is missing",
    "neck.fpn_convs.4.conv.bias is left over",
    "neck.lateral_convs.1.conv.weight is missing",
    "roi_head.bbox_head.fc_reg.bias is (16,) instead of (12,)",
    "roi_head.mask_head.upsample.weight is (8, 4, 2, 2) instead of (8, 8, 2, 2)",
    "rpn_head.rpn_cls.bias is not finite",
  ]
  assert "\n" not in str(refused.value)


def test_what_is_not_known_is_named(arrays):
  strange = {"neck.convs.0.weight": np.ones(3), "rpn_head.rpn_conv.weight": np.ones((8, 8))}
  with pytest.raises(InputError, match=r"2 unknown: rpn_head\.rpn_conv\.weight \(8, 8\), neck\.c"):
    variables_from_mmdet({**arrays, **strange})
  decode = {"decode": {"kernel": np.ones((2, 2))}}
  with pytest.raises(InputError, match=r"to have mmdet's names: got head/decode/kernel among"):
    mmdet_from_variables({"params": {"backbone": {}, "head": decode}})


def test_other_architectures_are_asked_for(arrays, tmp_path):
  file = write_torch_file(tmp_path / "a.pth", {"state_dict": arrays})
  with pytest.raises(MismatchError, match=r"it looks like .* with base_dim 8.*--any_architecture"):
    read_checkpoint(file)


@pytest.mark.slow
@pytest.mark.parametrize(
  ("name", "kind", "neck"),
  [
    *(("hornet_tiny_7x7", "cascade", "conv"), ("hornet_large_gf_img384", "cascade", "conv")),
    ("hornet_small_7x7", "mask_rcnn", "gf"),
  ],
)
def test_published_networks_are_told_by_their_shapes(name, kind, neck, monkeypatch):
  # Of a whole network the numbers would take gigabytes.
  monkeypatch.setattr("numpy.ascontiguousarray", lambda leaf, dtype=None: leaf)
  network = attach_detector(create_model(name, num_classes=0), 80, kind=kind, neck=neck)
  images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  abstract = jax.eval_shape(network.init, jax.random.key(0), images)
  made = mmdet_from_variables(zeros_of(abstract))
  found = network_from_mmdet(pathlib.Path("a.pth"), as_file(made))
  assert (found.variant, found.overrides, found.num_classes) == (name, {}, 80)
  assert found.settings == {"kind": kind, "neck": neck, "channels": 256, "hidden": 1024}


# What a run starts from.


def weights_of(variables, names=NAMES, task="detection"):
  state = {name: tree for name, tree in variables.items() if name != "params"}
  data = {"image_size": 64, "eval_crop_fraction": 1.0, "mean": [0.5] * 3, "std": [0.25] * 3}
  return Weights(ModelSpec(MODEL, data, names, task, SETTINGS), variables["params"], state)


def test_a_start_from_a_classifier(network, variables):
  classifier = random_variables(BACKBONE.clone(num_classes=10), 1)
  source = weights_of(classifier, [str(k) for k in range(10)], "classification")
  new, notes = start_from(network, variables, "detection", source, NAMES)
  assert notes == [
    "new head/box_heads_0, head/mask_heads_0, head/neck, head/norms and head/rpn: the source has "
    "no head of this task"
  ]
  assert_same(new["params"]["head"], variables["params"]["head"])
  assert_same(new["params"]["backbone"]["stage_1"], source.params["stage_1"])


def test_a_start_with_other_classes(variables):
  """Boxes go by fours, and the background stays behind the classes that there are."""
  names = ["harbour", "buoy", "boat", "gull"]
  model = attach_detector(BACKBONE, 4, **SETTINGS)
  initial = random_variables(model, 2)
  new, notes = start_from(model, initial, "detection", weights_of(variables), names)
  assert notes == [
    "head: 1 classes are not there and start anew: harbour",
    "head: 3 of 3 classes, by name",
  ]
  given, drawn = flat(variables["params"]), flat(initial["params"])
  made = flat(map_params(lambda info, _: info.head, model.param_info, initial["params"]))
  assert sum(made.values()) == 6
  for path, leaf in flat(new["params"]).items():
    if not made[path]:
      np.testing.assert_array_equal(leaf, given[path])
      continue
    in_file, at_first = np.array(given[path]), np.array(drawn[path])
    if "deltas" in path:
      leaf = leaf.reshape(-1, 4, 4)
      in_file, at_first = in_file.reshape(-1, 3, 4), at_first.reshape(-1, 4, 4)
      leaf, in_file, at_first = (x.swapaxes(1, 2) for x in (leaf, in_file, at_first))
    np.testing.assert_array_equal(leaf[..., 1:4], in_file[..., [2, 0, 1]])
    np.testing.assert_array_equal(leaf[..., 0], at_first[..., 0])
    if "predict/logits" in path:
      np.testing.assert_array_equal(leaf[..., 4], in_file[..., 3])
  fresh, notes = start_from(model, initial, "detection", weights_of(variables), list("wxyz"))
  assert notes == ["new head: the classes are others"]
  assert_same(fresh["params"]["head"]["neck"], variables["params"]["head"]["neck"])
  logits = fresh["params"]["head"]["box_heads_0"]["predict"]
  assert_same(logits, initial["params"]["head"]["box_heads_0"]["predict"])


def test_files_say_what_they_hold(variables, tmp_path):
  """The report of a file that does not fit has a line for each array."""
  arrays = contiguous(mmdet_from_variables(variables))
  del arrays["rpn_head.rpn_reg.bias"]
  file = write_torch_file(tmp_path / "a.pth", {"state_dict": arrays})
  report = tmp_path / "report.txt"
  flags = [f"--out={tmp_path / 'a.safetensors'}", f"--report={report}", "--any_architecture"]
  assert main(["convert", str(file), *flags]) == 2
  assert report.read_text() == "rpn_head.rpn_reg.bias is missing\n"
