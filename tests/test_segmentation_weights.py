"""Weights go into and out of segmentation networks, and what does not fit is named."""

import json
import pathlib
import pickletools
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from etils import epath
from flax import traverse_util
from golden_data import Golden
from PIL import Image
from torch_files import write_torch_file

import hornet_jax
from hornet_jax import create_model
from hornet_jax.cli.main import main
from hornet_jax.convert.checkpoint import read_checkpoint
from hornet_jax.convert.converted import NO_TASK
from hornet_jax.convert.mmseg import variables_from_mmseg
from hornet_jax.convert.segmentation import network_from_mmseg
from hornet_jax.convert.to_mmseg import mmseg_from_variables
from hornet_jax.convert.to_official import official_from_params, zeros_of
from hornet_jax.convert.torch_file import read_torch_file
from hornet_jax.dense import attach_uper_net
from hornet_jax.errors import InputError, MismatchError
from hornet_jax.models.param_info import map_params
from hornet_jax.pretrained.class_map import map_by_name
from hornet_jax.pretrained.model_io import export, read_weights
from hornet_jax.pretrained.spec import ModelSpec, Weights
from hornet_jax.pretrained.start import start_from
from hornet_jax.pretrained.task_model import load_task_model
from hornet_jax.pretrained.weights_file import write_model
from hornet_jax.train.optimizer import head_only

NAMES = ["sky", "sea", "sand", "tree", "boat", "gull"]
DATA = {
  "image_size": 32,
  "eval_crop_fraction": 1.0,
  "mean": [0.5, 0.5, 0.5],
  "std": [0.25, 0.25, 0.25],
}
MODEL = {
  "variant": "hornet_tiny_gf",
  "dtype": "float32",
  "base_dim": 8,
  "depths": [1, 1, 1, 1],
}
HEADS = {"channels": 16, "fusion": "7x7", "auxiliary_channels": 4}


@pytest.fixture(scope="module")
def official():
  """The arrays of a network by mmseg's names; those of the official code for all but one head."""
  backbone = Golden("dense_backbone_gf_interp").group("param/")
  decode = Golden("seg_gn_uper_head_7x7").group("param/")
  rng = np.random.default_rng(0)
  auxiliary = {
    "convs.0.conv.weight": rng.normal(size=(4, 32, 3, 3)),
    "convs.0.bn.weight": rng.normal(size=4),
    "convs.0.bn.bias": rng.normal(size=4),
    "convs.0.bn.running_mean": rng.normal(size=4),
    "convs.0.bn.running_var": rng.uniform(1, 2, size=4),
    "convs.0.bn.num_batches_tracked": np.array(0),
    "conv_seg.weight": rng.normal(size=(6, 4, 1, 1)),
    "conv_seg.bias": rng.normal(size=6),
  }
  parts = {"backbone": backbone, "decode_head": decode, "auxiliary_head": auxiliary}
  return {
    f"{part}.{name}": value if name.endswith("tracked") else np.asarray(value, np.float32)
    for part, arrays in parts.items()
    for name, value in arrays.items()
  }


@pytest.fixture(scope="module")
def variables(official):
  return variables_from_mmseg(official)


@pytest.fixture(scope="module")
def network():
  backbone = create_model(MODEL["variant"], num_classes=0, base_dim=8, depths=(1, 1, 1, 1))
  return attach_uper_net(backbone, 6, **HEADS)


def flat(tree):
  return traverse_util.flatten_dict(tree, sep="/")


def assert_same(found, expected):
  assert flat(found).keys() == flat(expected).keys()
  jax.tree.map(np.testing.assert_array_equal, found, expected)


def random_variables(model, seed=0):
  images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  abstract = jax.eval_shape(model.init, jax.random.key(0), images)
  rng = np.random.default_rng(seed)
  return jax.tree.map(lambda leaf: rng.uniform(0.5, 1, leaf.shape).astype(np.float32), abstract)


# The official layout.


def test_ours_is_theirs_and_back(official, variables, network):
  """All names of the official code, no other, its layouts, and the very numbers."""
  found = mmseg_from_variables(variables)
  assert found.keys() == official.keys()
  for name, value in official.items():
    if not name.endswith("tracked"):
      assert found[name].dtype == np.float32
      np.testing.assert_array_equal(found[name], value, err_msg=name)
  wanted = jax.tree.map(jnp.shape, random_variables(network))
  assert jax.tree.map(jnp.shape, variables) == wanted


@pytest.mark.parametrize("fusion", ["conv", "7x7", "gf"])
def test_every_fusion_comes_back(network, fusion):
  """The filters of 24x13 and 12x7 as well."""
  filters = ("7x7", "7x7", (24, 13), (12, 7))
  backbone = network.backbone.model.clone(filters=filters)
  heads = {**HEADS, "fusion": fusion, "auxiliary_channels": 0}
  made = random_variables(attach_uper_net(backbone, 5, **heads))
  arrays = mmseg_from_variables(made)
  assert arrays["backbone.stages.2.0.gnconv.dwconv.complex_weight"].shape[1:] == (24, 13, 2)
  assert ("decode_head.fpn_bottleneck.conv.weight" in arrays) == (fusion == "conv")
  read = network_from_mmseg(
    pathlib.Path("a.pth"), {k: (k, v) for k, v in arrays.items()}, any_architecture=True
  )
  assert read.settings == heads
  assert (read.num_classes, read.class_names) == (5, ())
  assert_same({"params": read.params, **read.state}, made)


def convert(content, tmp_path, *flags):
  file, out = tmp_path / "network.pth", tmp_path / "network.safetensors"
  write_torch_file(file, content)
  return main(["convert", str(file), f"--out={out}", "--any_architecture", *flags]), out


def test_the_command_converts(official, variables, tmp_path, capfd):
  content = {
    "meta": {"CLASSES": NAMES, "PALETTE": [[0, 0, 0]] * 6, "iter": 160000, "env_info": "torch"},
    "state_dict": {f"module.{name}": value for name, value in official.items()},
    "optimizer": {"state": {0: {"step": 7, "exp_avg": np.ones(3, np.float32)}}},
  }
  report = tmp_path / "report.txt"
  status, out = convert(content, tmp_path, f"--report={report}", "--image_size=32")
  assert status == 0
  printed = capfd.readouterr().out
  assert "segmentation, hornet_tiny_gf with base_dim 8" in printed
  assert "channels 16, fusion 7x7, auxiliary_channels 4" in printed
  assert "6 classes" in printed
  became = {line.split()[1]: line.split()[0] for line in report.read_text().splitlines()[2:]}
  assert len(became) == len(flat(variables["params"])) + len(flat(variables["batch_stats"]))
  assert became["batch_stats/head/decode/fusion/bn/var"] == (
    "module.decode_head.fpn_bottleneck.bn.running_var"
  )
  assert became["head/norms/norm_2/scale"] == "module.backbone.norm2.weight"
  loaded = load_task_model(str(out))
  assert_same(loaded.variables, variables)
  assert (loaded.class_names, loaded.task.num_classes) == (NAMES, 6)
  assert loaded.task.schema["image"].shape == (32, 32, 3)
  metadata = json.loads(out.read_bytes()[8:].split(b'"__metadata__":')[1].split(b"},")[0] + b"}")
  assert metadata["task"] == '"segmentation"'
  assert json.loads(metadata["settings"])["fusion"] == "7x7"


def test_names_of_later_versions(official, tmp_path):
  content = {"meta": {"dataset_meta": {"classes": tuple(NAMES)}}, "state_dict": official}
  file = write_torch_file(tmp_path / "a.pth", content)
  assert read_checkpoint(file, any_architecture=True).class_names == tuple(NAMES)
  content["meta"]["dataset_meta"]["classes"] = ("a", "b")  # of something else
  write_torch_file(file, content)
  assert read_checkpoint(file, any_architecture=True).class_names == ()


def broken(official, change):
  arrays = dict(official)
  name = "decode_head.lateral_convs.1.conv.weight"
  if change == "missing":
    del arrays[name]
    return arrays, f"{name} is missing"
  if change == "no statistics":
    del arrays["auxiliary_head.convs.0.bn.running_var"]
    return arrays, "auxiliary_head.convs.0.bn.running_var is missing"
  if change == "no level norm":
    del arrays["backbone.norm3.bias"]
    return arrays, "backbone.norm3.bias is missing"
  if change == "left over":
    return {**arrays, "decode_head.extra.weight": np.ones(3)}, "decode_head.extra.weight is left"
  if change == "of a neck":
    return {**arrays, "neck.convs.0.weight": np.ones(3)}, "neck.convs.0.weight is left over"
  if change == "shape":
    arrays[name] = arrays[name][:, :8]
    return arrays, rf"{name} is \(16, 8, 1, 1\) instead of \(16, 16, 1, 1\)"
  if change == "other classes":
    arrays["auxiliary_head.conv_seg.bias"] = np.ones(5, np.float32)
    return arrays, r"auxiliary_head.conv_seg.bias is \(5,\) instead of \(6,\)"
  arrays["backbone.norm0.bias"] = np.full(8, np.nan, np.float32)
  return arrays, "backbone.norm0.bias is not finite"


@pytest.mark.parametrize(
  "change",
  [
    *("missing", "no statistics", "no level norm", "left over", "of a neck", "shape"),
    *("other classes", "not finite"),
  ],
)
def test_what_does_not_fit_is_named(official, change):
  arrays, message = broken(official, change)
  with pytest.raises(MismatchError, match=message) as refused:
    network_from_mmseg(
      pathlib.Path("a.pth"), {k: (k, v) for k, v in arrays.items()}, any_architecture=True
    )
  assert len(refused.value.problems) == 1
  assert "must hold UperNet on hornet_tiny_gf" in str(refused.value)


def test_other_architectures_are_asked_for(official, tmp_path):
  file = write_torch_file(tmp_path / "a.pth", {"state_dict": official})
  with pytest.raises(MismatchError, match=r"it looks like .* with base_dim 8.*--any_architecture"):
    read_checkpoint(file)


def published(name, filters):
  fields = {"filters": filters} if filters else {}
  backbone = create_model(name, num_classes=0, **fields)
  images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  network = attach_uper_net(backbone, 150)
  arrays = mmseg_from_variables(zeros_of(jax.eval_shape(network.init, jax.random.key(0), images)))
  return network_from_mmseg(pathlib.Path("a.pth"), {k: (k, v) for k, v in arrays.items()})


SEGMENTATION_FILTERS = ("7x7", "7x7", (24, 13), (12, 7))


@pytest.mark.parametrize(
  ("name", "filters", "side"),
  [
    ("hornet_tiny_gf", SEGMENTATION_FILTERS, 512),
    pytest.param("hornet_tiny_7x7", None, 512, marks=pytest.mark.slow),
    pytest.param("hornet_small_gf", SEGMENTATION_FILTERS, 512, marks=pytest.mark.slow),
    pytest.param("hornet_base_7x7", None, 512, marks=pytest.mark.slow),
    pytest.param("hornet_large_7x7", None, 640, marks=pytest.mark.slow),
  ],
)
def test_published_networks_are_told_by_their_shapes(name, filters, side, monkeypatch):
  # Of a whole network the numbers would take a gigabyte.
  monkeypatch.setattr("numpy.ascontiguousarray", lambda leaf, dtype=None: leaf)
  read = published(name, filters)
  assert (read.variant, read.image_size) == (name, side)
  assert read.overrides == ({"filters": list(filters)} if filters else {}) or read.overrides == (
    {"filters": filters} if filters else {}
  )
  sides = {"long_side": 2560, "short_side": 640} if side == 640 else {}
  heads = {"channels": 512, "fusion": "conv", "auxiliary_channels": 256}
  assert read.settings == heads | sides


@pytest.mark.parametrize("prefix", ["backbone.", ""])
def test_a_backbone_alone(official, variables, network, prefix, tmp_path, capfd):
  """Of a checkpoint, or its own state: a run starts from it, and no image is shown to it."""
  arrays = {
    f"{prefix}{name.removeprefix('backbone.')}": value
    for name, value in official.items()
    if name.startswith("backbone.")
  }
  status, out = convert({"state_dict": arrays}, tmp_path)
  assert status == 0
  assert "the norms of its levels" in capfd.readouterr().out
  weights = read_weights(str(out))
  assert weights.spec.task == NO_TASK
  with pytest.raises(InputError, match="got a backbone and the norms of its levels alone"):
    load_task_model(str(out))
  initial = random_variables(network)
  new, notes = start_from(network, initial, "segmentation", weights, NAMES)
  assert notes == ["new head/auxiliary and head/decode: the source has no head of this task"]
  assert_same(new["params"]["backbone"], variables["params"]["backbone"])
  assert_same(new["params"]["head"]["norms"], variables["params"]["head"]["norms"])
  assert_same(new["params"]["head"]["decode"], initial["params"]["head"]["decode"])
  assert_same(new["batch_stats"], initial["batch_stats"])
  del arrays[f"{prefix}norm0.weight"]
  with pytest.raises(MismatchError, match=r"backbone\.norm0\.weight is missing"):
    read_checkpoint(
      write_torch_file(tmp_path / "a.pth", {"state_dict": arrays}), any_architecture=True
    )


# What a run starts from.


def weights_of(variables, names=NAMES, task="segmentation"):
  state = {name: tree for name, tree in variables.items() if name != "params"}
  return Weights(ModelSpec(MODEL, DATA, names, task, HEADS), variables["params"], state)


def test_a_start_from_a_classifier(network, variables):
  """Its backbone, with filters resized; all that segmentation adds is new."""
  classifier = network.backbone.model.clone(num_classes=10)
  source = weights_of(
    random_variables(classifier, 1), [str(k) for k in range(10)], "classification"
  )
  filters = ("7x7", "7x7", (6, 4), (3, 2))
  model = attach_uper_net(network.backbone.model.clone(filters=filters), 6, **HEADS)
  initial = random_variables(model)
  new, notes = start_from(model, initial, "segmentation", source, NAMES)
  assert notes[0] == (
    "new head/auxiliary, head/decode and head/norms: the source has no head of this task"
  )
  assert sum("resized from (14, 8" in note for note in notes) == 2
  assert_same(new["params"]["head"], initial["params"]["head"])
  assert_same(new["batch_stats"], initial["batch_stats"])
  taken = new["params"]["backbone"]
  assert_same(taken["stage_1"], source.params["stage_1"])
  assert taken["stage_2"]["block_0"]["gnconv"]["dwconv"]["filter_im"].shape[:2] == (6, 4)
  deeper = random_variables(classifier.clone(depths=(1, 1, 2, 1)), 1)
  with pytest.raises(InputError, match=r"backbone/stage_2/block_1/\S+ is left over"):
    start_from(model, initial, "segmentation", source._replace(params=deeper["params"]), NAMES)
  with pytest.raises(InputError, match=r"`init.class_map` must come with weights of task segm"):
    start_from(model, initial, "segmentation", source, NAMES, np.arange(6))
  with pytest.raises(InputError, match="expected those of a classifier, got those of task segm"):
    start_from(
      classifier, random_variables(classifier), "classification", weights_of(variables), []
    )


def test_a_start_with_other_classes(network, variables):
  """Columns go by their names or a map in both heads; all else is kept, statistics too."""
  names = ["boat", "harbour", "sky"]
  model = attach_uper_net(network.backbone.model, 3, **HEADS)
  initial = random_variables(model)
  source = weights_of(variables)
  new, notes = start_from(model, initial, "segmentation", source, names)
  assert notes == [
    "head: 1 classes are not there and start anew: harbour",
    "head: 2 of 6 classes, by name",
  ]
  classifiers = 0
  for path, leaf in flat(new["params"]).items():
    given = flat(variables["params"])[path]
    if "/classify/" in path:
      classifiers += 1
      np.testing.assert_array_equal(leaf[..., [0, 2]], given[..., [4, 0]])
      np.testing.assert_array_equal(leaf[..., 1], flat(initial["params"])[path][..., 1])
    else:
      np.testing.assert_array_equal(leaf, given)
  assert classifiers == 4
  assert_same(new["batch_stats"], variables["batch_stats"])
  mapped, notes = start_from(
    model, initial, "segmentation", source, ["1", "2", "3"], np.array([5, 4, 3])
  )
  assert notes == ["head: 3 of 6 classes, by the class map"]
  found = mapped["params"]["head"]["auxiliary"]["classify"]["conv_seg"]["bias"]
  np.testing.assert_array_equal(
    found, variables["params"]["head"]["auxiliary"]["classify"]["conv_seg"]["bias"][[5, 4, 3]]
  )
  fresh, notes = start_from(model, initial, "segmentation", source, ["1", "2", "3"])
  assert notes == ["new head: the classes are others"]
  kept = fresh["params"]["head"]["decode"]
  assert_same(kept["fusion"], variables["params"]["head"]["decode"]["fusion"])
  assert_same(kept["classify"], initial["params"]["head"]["decode"]["classify"])


def test_an_auxiliary_head_on_one_side_only(network, variables):
  source = weights_of(variables)
  without = attach_uper_net(network.backbone.model, 6, **{**HEADS, "auxiliary_channels": 0})
  new, notes = start_from(without, random_variables(without), "segmentation", source, NAMES)
  assert notes == ["left out head/auxiliary of the source: the run has none"]
  assert "auxiliary" not in {**new["params"]["head"], **new["batch_stats"]["head"]}
  lacking = weights_of(new)
  initial = random_variables(network)
  back, notes = start_from(network, initial, "segmentation", lacking, NAMES[::-1])
  assert notes[0] == "new head/auxiliary: the source has none"
  assert_same(back["params"]["head"]["auxiliary"], initial["params"]["head"]["auxiliary"])
  np.testing.assert_array_equal(
    back["params"]["head"]["decode"]["classify"]["conv_seg"]["bias"],
    variables["params"]["head"]["decode"]["classify"]["conv_seg"]["bias"][::-1],
  )
  assert_same(back["batch_stats"]["head"]["decode"], variables["batch_stats"]["head"]["decode"])


def test_heads_that_do_not_fit(network, variables):
  other = attach_uper_net(network.backbone.model, 6, **{**HEADS, "fusion": "conv"})
  with pytest.raises(InputError, match=r"head/decode/fusion/conv/kernel is missing") as refused:
    start_from(other, random_variables(other), "segmentation", weights_of(variables), NAMES)
  assert "\n" not in str(refused.value)
  bare = weights_of({"params": variables["params"]})
  with pytest.raises(InputError, match=r"batch_stats/head/\S+ is missing"):
    start_from(network, random_variables(network), "segmentation", bare, NAMES)


def test_what_a_head_is_made_of(network):
  """A frozen backbone leaves all of it to train; classifiers alone have the axis of classes."""
  params = random_variables(network)["params"]
  trained = {
    path for path, is_trained in flat(head_only(network.param_info, params)).items() if is_trained
  }
  assert trained == {path for path in flat(params) if path.startswith("head/")}
  made = flat(map_params(lambda info, leaf: info.head, network.param_info, params))
  heads = {path for path, is_head in made.items() if is_head}
  other = attach_uper_net(network.backbone.model, 7, **HEADS)
  shapes = {path: leaf.shape for path, leaf in flat(params).items()}
  changed = {
    path
    for path, leaf in flat(random_variables(other)["params"]).items()
    if leaf.shape != shapes[path]
  }
  assert heads == changed


def test_names_that_tell():
  found, by = map_by_name(["a", "b"], ["b", "c", "b", "a"])
  np.testing.assert_array_equal(found, [3, -1])  # two are called b
  assert by == "name"
  assert map_by_name(["1", "a"], ["a", "1"]) is None
  assert map_by_name(["x"], ["a"]) is None


# Files.


@pytest.fixture(scope="module")
def file(variables, tmp_path_factory):
  """A file of ours with the official weights."""
  path = epath.Path(tmp_path_factory.mktemp("weights")) / "network.safetensors"
  weights = weights_of(variables)
  write_model(path, weights.spec, weights.params, {"step": "3"}, weights.state)
  return path


def test_out_and_back(file, variables, network, official, tmp_path, capfd):
  """Ours to PyTorch's and back: the same arrays, names of classes, and predictions bit for bit."""
  theirs, ours = tmp_path / "network.pth", tmp_path / "again.safetensors"
  assert main(["export", f"--workdir={file}", f"--out={theirs}"]) == 0
  assert "`torch.load`" in capfd.readouterr().out
  content = read_torch_file(theirs, lambda content: content["state_dict"])
  assert content.keys() == official.keys()
  for name, value in official.items():
    assert content[name].shape == value.shape, name
  flags = [f"--out={ours}", "--any_architecture", "--image_size=32"]
  assert main(["convert", str(theirs), *flags]) == 0
  first, second = load_task_model(str(file)), load_task_model(str(ours))
  assert_same(first.variables, variables)
  assert_same(second.variables, variables)
  assert first.class_names == second.class_names == NAMES
  assert first.model == second.model == network
  image = tmp_path / "image.png"
  pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
  Image.fromarray(pixels).save(image)
  assert main(["predict", str(image), f"--workdir={file}", "--json"]) == 0
  assert '"class": ' in capfd.readouterr().out


def test_pytorch_would_read_it(file, tmp_path):
  """The pickle asks for what `torch.load(weights_only=True)` knows, and nothing else."""
  theirs, again = tmp_path / "network.pth", tmp_path / "again.pth"
  export(file, epath.Path(theirs))
  export(file, epath.Path(again))
  assert theirs.read_bytes() == again.read_bytes()
  with zipfile.ZipFile(theirs) as archive:
    assert archive.read("archive/version") == b"3\n"
    pickled = archive.read("archive/data.pkl")
    assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
  asked = {argument for op, argument, _ in pickletools.genops(pickled) if op.name == "GLOBAL"}
  assert asked == {
    "torch._utils _rebuild_tensor_v2",
    "torch FloatStorage",
    "torch LongStorage",
    "collections OrderedDict",
  }


def test_a_classifier_goes_to_pytorch_too(network, tmp_path):
  golden = Golden("cls_gf_sq64_exact").group("param/")
  official = {name: np.asarray(value, np.float32) for name, value in golden.items()}
  file = write_torch_file(tmp_path / "official.pth", {"model": official})
  ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.pth"
  assert main(["convert", str(file), f"--out={ours}", "--any_architecture"]) == 0
  export(ours, epath.Path(theirs))
  again = read_torch_file(theirs, lambda content: content["model"])
  assert again.keys() == official.keys()
  for name, value in official.items():
    np.testing.assert_array_equal(again[name], value, err_msg=name)
  plain = random_variables(create_model("convnext_micro", num_classes=3))
  with pytest.raises(InputError, match="must be an official HorNet to have its names"):
    official_from_params(plain["params"])


def test_files_for_others_are_refused(file, tmp_path):
  with pytest.raises(InputError, match="expected task classification, got 'segmentation'"):
    hornet_jax.load(file)
  with pytest.raises(InputError, match=r"must end in \.safetensors or \.pth"):
    export(file, epath.Path(tmp_path / "a.npz"))
  backbone = create_model("convnext_micro", num_classes=0, patch_size=2)
  weights = weights_of(random_variables(attach_uper_net(backbone, 6, **HEADS)))
  other = epath.Path(tmp_path / "other.safetensors")
  write_model(other, weights.spec, weights.params, {}, weights.state)
  with pytest.raises(InputError, match="must be an official HorNet to have its names") as refused:
    export(other, epath.Path(tmp_path / "a.pth"))
  assert "\n" not in str(refused.value)


def test_files_of_before_hold_classifiers(tmp_path):
  """What `export` wrote before it knew other tasks has neither task nor collections."""
  model = create_model("hornet_nano_7x7", num_classes=2)
  spec = ModelSpec({"variant": "hornet_nano_7x7", "dtype": "float32"}, DATA, ["a", "b"])
  path = epath.Path(tmp_path / "new.safetensors")
  params = random_variables(model)["params"]
  write_model(path, spec, params, {})
  content = path.read_bytes()
  length = int.from_bytes(content[:8], "little")
  metadata = json.loads(content[8 : 8 + length])["__metadata__"]
  for key in ("task", "settings", "collections"):
    del metadata[key]
  old = epath.Path(tmp_path / "old.safetensors")
  old.write_bytes(safetensors.numpy.save(safetensors.numpy.load(content), metadata))
  first, second = load_task_model(str(old)), load_task_model(str(path))
  assert first.task == second.task
  assert first.task.primary == "top1"
  assert_same(first.variables, {"params": params})
  assert hornet_jax.load(old).model == first.model
