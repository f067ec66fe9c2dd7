"""Any architecture is trained, cut, decayed, resized and drawn by the face of all; none by name."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util
from PIL import Image
from postcard import NAME, Postcard
from sources import start_of

import hornet_jax
from hornet_jax import Execution, create_model, list_models, register, reset_classifier
from hornet_jax.cli.main import main
from hornet_jax.config.build import build_model, on_mesh
from hornet_jax.data.views.eval_view import EvalView
from hornet_jax.data.views.preprocess import Preprocessing
from hornet_jax.errors import InputError
from hornet_jax.models import VARIANTS, Architecture, HorNet
from hornet_jax.models.param_info import Role
from hornet_jax.models.stacking import STACKED, stack_blocks, unstack_blocks
from hornet_jax.parallel.mesh import make_mesh
from hornet_jax.parallel.sharding import FSDP, placements
from hornet_jax.pretrained.initialize import initialize_from
from hornet_jax.pretrained.model_io import PretrainedModel
from hornet_jax.report.page import _kernels
from hornet_jax.tasks import Classification
from hornet_jax.train.layer_decay import layer_ids
from hornet_jax.train.optimizer import adamw, decay_mask, head_only
from hornet_jax.train.state import create_state
from hornet_jax.train.step import StepSettings, make_train_step


@pytest.fixture(autouse=True)
def registered():
  """The made-up architecture has a name for the length of a test."""
  register(NAME, Postcard, image_size=16)
  yield
  del VARIANTS[NAME]


def shapes_of(model, size=16):
  images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
  return jax.eval_shape(model.init, jax.random.key(0), images)["params"]


def random_params(model, seed=0):
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32), shapes_of(model)
  )


def flat(tree):
  return traverse_util.flatten_dict(tree, sep="/")


@pytest.mark.parametrize("name", [NAME, "hornet_nano_gf", *list_models("*micro*")])
def test_what_an_architecture_says_of_itself_is_so(name):
  model = create_model(name, num_classes=5)
  assert isinstance(model, Architecture)
  size = VARIANTS[name].image_size
  images = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
  (logits, out), variables = jax.eval_shape(model.init_with_output, jax.random.key(0), images)
  params = variables["params"]
  assert logits.shape == (2, 5)
  for feature in model.features():
    side = size // feature.stride
    assert out[feature.name].shape == (2, side, side, feature.channels)

  # Those paths are stacked that it names, each of so many blocks, and taken apart again.
  stacked = flat(jax.eval_shape(stack_blocks, params))
  depths = {
    path.split(f"/{STACKED}/")[0]: leaf.shape[0]
    for path, leaf in stacked.items()
    if f"/{STACKED}/" in path
  }
  assert depths == model.stacks()
  assert flat(unstack_blocks(jax.eval_shape(stack_blocks, params))) == flat(params)

  for path, leaf in flat(params).items():
    info = model.param_info(path)
    if info.role in (Role.MATRIX, Role.STEM):
      assert info.fan_in_axis is not None
    assert model.adapt(path, jnp.zeros(leaf.shape), leaf.shape).shape == leaf.shape
  heads = {path for path in flat(params) if model.param_info(path).head}
  assert heads == flat(params).keys() - flat(shapes_of(model.clone(num_classes=0), size)).keys()
  for picture in model.pictures(jax.tree.map(lambda leaf: np.ones(leaf.shape), params)):
    assert picture.values.ndim == 3


def test_settings_go_to_execution_or_to_the_architecture():
  model = create_model(NAME, dim=4, dtype=jnp.bfloat16, remat="full", global_filter="fft")
  assert model == Postcard(dim=4, execution=Execution(jnp.bfloat16, fourier="fft", remat="full"))
  assert create_model(NAME, execution=Execution(scan=True), remat="dots") == Postcard(
    execution=Execution(scan=True, remat="dots")
  )
  with pytest.raises(InputError, match=r"unknown model field 'depth'.*did you mean 'depths'"):
    create_model(NAME, depth=3)


def test_a_name_belongs_to_one_constructor():
  register(NAME, Postcard, image_size=32)  # as a cell that runs twice
  assert VARIANTS[NAME].image_size == 32
  for name in (NAME, "hornet-tiny"):
    with pytest.raises(InputError, match=f"a name that no model has, got '{name}'"):
      register(name, HorNet, image_size=32)


def test_what_is_cut_decayed_and_frozen(monkeypatch):
  monkeypatch.setattr("hornet_jax.parallel.sharding.MIN_SIZE", 1)
  model = create_model(NAME, num_classes=5, dim=16)
  params = shapes_of(model)
  matrices = {"fc1/kernel", "fc2/kernel", "addressee/kernel"}
  rows = placements(model.param_info, params, 8)
  cut = {row.path for row in rows if FSDP in row.spec}
  assert cut == {path for path in flat(params) if path.endswith(tuple(matrices))}

  decayed = {
    path for path, is_decayed in flat(decay_mask(model.param_info, params)).items() if is_decayed
  }
  assert decayed == {path for path in flat(params) if path.endswith("kernel")}
  trained = flat(head_only(model.param_info, params))
  assert {path for path, is_trained in trained.items() if is_trained} == {
    "addressee/kernel",
    "addressee/bias",
  }


def test_layers():
  model = create_model(NAME)
  apart, stacked = shapes_of(model), stack_blocks(shapes_of(model))
  ids = layer_ids(model.param_info, stacked)
  assert ids["patches"]["kernel"] == ids["positions"] == 0
  np.testing.assert_array_equal(ids["late"][STACKED]["dwconv"]["kernel"].ravel(), [4, 5, 6])
  assert ids["late"][STACKED]["dwconv"]["kernel"].shape == (3, 1, 1, 1, 1)
  assert ids["addressee"]["bias"] == 7
  assert layer_ids(model.param_info, apart)["late"]["block_2"]["norm1"]["bias"] == 6


def test_another_head_and_another_image_size():
  source_model = create_model(NAME, num_classes=4)
  params = random_params(source_model)
  view = EvalView(16, 0.875, False, "pillow")
  preprocessing = Preprocessing(view, (0.5,) * 3, (0.5,) * 3, ["a", "b", "c", "d"])
  source = PretrainedModel(source_model, params, preprocessing)
  model = create_model(NAME, num_classes=3, grid=8)
  initial = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes_of(model, 32))

  new, notes = initialize_from(model, initial, *start_of(source), ["x", "y", "z"])
  assert notes == [
    "new head: the classes are others",
    "positions resized from (4, 4, 8) to (8, 8, 8)",
  ]
  assert new["addressee"]["kernel"].shape == (8, 3)
  assert not new["addressee"]["kernel"].any()
  np.testing.assert_array_equal(new["between"]["fc1"]["kernel"], params["between"]["fc1"]["kernel"])
  taken, _ = initialize_from(
    model, initial, *start_of(source), ["x", "y", "z"], np.array([3, 0, 1])
  )
  for leaf in ("kernel", "bias"):
    expected = params["addressee"][leaf][..., [3, 0, 1]]
    np.testing.assert_array_equal(taken["addressee"][leaf], expected)

  reset, reset_params = reset_classifier(source_model, params, 7, jax.random.key(0), 16)
  assert reset_params["addressee"]["kernel"].shape == (8, 7)
  assert (
    reset_params["late"]["block_0"]["norm1"]["scale"] is params["late"]["block_0"]["norm1"]["scale"]
  )
  assert flat(jax.tree.map(jnp.shape, reset_params)) == flat(
    jax.tree.map(jnp.shape, shapes_of(reset))
  )


def test_it_is_a_backbone_without_a_word_of_its_own():
  """The maps are the classifier's, with its parameters as they are, also inside of another."""
  model, maps = create_model(NAME), create_model(NAME, features_only=True, out_indices=(1, 0))
  params, images = jax.tree.map(jnp.asarray, random_params(model)), jnp.ones((2, 16, 16, 3))
  _, out = model.apply({"params": params}, images)
  for name, value in zip(("late", "early"), maps.apply({"params": params}, images), strict=True):
    np.testing.assert_array_equal(value, out[name])
  assert (maps.channels, maps.strides) == ([8, 8], [4, 4])
  shapes = jax.eval_shape(maps.init, jax.random.key(0), images)["params"]
  assert shapes.keys() == params.keys() - {"addressee"}


def test_pictures_reach_the_page():
  model = create_model(NAME)
  (panel,) = _kernels(model.pictures(random_params(model)))
  assert (panel["title"], panel["channels"], len(panel["tiles"])) == ("First of all", 8, 8)


@pytest.mark.slow
def test_training_in_parts_is_training_whole(monkeypatch):
  """With kernels in parts, gathered block by block, the loss is that of one device."""
  monkeypatch.setattr("hornet_jax.parallel.sharding.MIN_SIZE", 1)
  plain = create_model(NAME, num_classes=5)
  settings = StepSettings(1, 0.0, 0.5, 0)
  task = Classification(5, EvalView(16, 1.0), mean=(0.5,) * 3, std=(1.0,) * 3, label_smoothing=0.1)
  rng = np.random.default_rng(0)
  batch = {
    "image": jnp.asarray(rng.integers(0, 256, (4, 16, 16, 3), np.uint8)),
    "label": jnp.array([0, 3, 1, 2], jnp.int32),
    "weight": jnp.ones(4),
    "index": jnp.arange(4, dtype=jnp.int32),
  }
  losses = []
  for devices, fsdp in ((1, 1), (4, 2)):
    mesh = make_mesh(jax.devices()[:devices], fsdp)
    model = plain
    if fsdp > 1:
      model = on_mesh(plain.clone(execution=Execution(scan=True, remat="full")), mesh)
    tx = adamw(
      model.param_info, b1=0.9, b2=0.99, eps=1e-8, weight_decay=0.1, clip_norm=0.0, layer_decay=0.7
    )
    step = make_train_step(model, task, tx, optax.constant_schedule(0.01), settings, devices)
    state = create_state(model, tx, (4, 16, 16, 3), mesh, seed=0)
    if fsdp > 1:
      kernel = optax.tree.get(state.opt_state, "mu")["late"][STACKED]["mlp"]["fc1"]["kernel"]
      assert {shard.data.shape for shard in kernel.addressable_shards} == {(3, 4, 32)}
    with jax.set_mesh(mesh):
      update = jax.jit(step, compiler_options={"xla_backend_optimization_level": 0})
      for _ in range(3):
        state, metrics = update(state, batch)
    losses.append([float(metrics["loss"]), float(metrics["grad_norm"])])
  np.testing.assert_allclose(*losses, rtol=1e-4)


@pytest.mark.slow
def test_every_command_takes_it(data_dir, tmp_path, capfd):
  """It trains, goes on, reports, is evaluated, exported and asked: without a word said of it."""
  image = tmp_path / "grey.png"
  Image.new("L", (9, 9), 100).save(image)
  workdir, file = tmp_path / "run", tmp_path / "postcard.safetensors"
  arguments = [
    "train",
    "--config=configs/digits.py:runlocal",
    f"--config.model.variant={NAME}",
    "--config.model.patch_size=4",
    "--config.data.image_size=16",
    "--config.optimizer.warmup_epochs=0",
    f"--config.data.data_dir={data_dir}",
    f"--workdir={workdir}",
  ]
  assert main([*arguments, "--config.epochs=0.1"]) == 0
  assert main([*arguments, "--config.epochs=0.2"]) == 0
  assert "First of all" in (workdir / "report.html").read_text()
  capfd.readouterr()
  assert main(["evaluate", f"--workdir={workdir}", "--json"]) == 0
  assert json.loads(capfd.readouterr().out)
  assert main(["export", f"--workdir={workdir}", f"--out={file}"]) == 0
  model, params, _ = hornet_jax.load(file)
  assert isinstance(model, Postcard)
  assert flat(jax.tree.map(jnp.shape, params)) == flat(jax.tree.map(jnp.shape, shapes_of(model)))
  capfd.readouterr()
  for place in (workdir, file):
    assert main(["predict", str(image), f"--workdir={place}", "--json", "--top=10"]) == 0
  both = capfd.readouterr().out.split("]\n[")
  assert json.loads(both[0] + "]") == json.loads("[" + both[1])
  assert main(["info", NAME, "--fsdp=2"]) == 0
  assert "late/block_*/mlp/fc1/kernel" in capfd.readouterr().out


def test_blocks_beside_other_modules_are_told():
  tree = {"block_0": {"kernel": np.ones(2)}, "block_1": {"kernel": np.ones(2)}, "head": {}}
  with pytest.raises(InputError, match=r"nothing beside them, got block_0, block_1, head\. Hint"):
    stack_blocks(tree)


IMAGES = {"image_size": 16, "channels": 3}


def test_an_architecture_that_is_incomplete(monkeypatch, untyped):
  """It is told before anything is trained."""
  monkeypatch.delattr(Postcard, "pictures")
  settings = {"variant": NAME, "dtype": "float32", "patch_size": 4}
  with pytest.raises(InputError, match=r"must be an `Architecture`.*missing pictures"):
    build_model(settings, IMAGES, 3)


def test_settings_that_an_architecture_does_not_have(caplog):
  register("postcard_fixed", lambda execution, num_classes: Postcard(num_classes), image_size=16)
  settings = {"variant": "postcard_fixed", "dtype": "float32", "patch_size": 4}
  with caplog.at_level("INFO", "hornet_jax"):
    assert build_model(settings | {"drop_path_rate": 0.0}, IMAGES, 3).num_classes == 3
  del VARIANTS["postcard_fixed"]
  assert "postcard_fixed has no patch_size: the config's is not used" in caplog.text
  assert "drop_path_rate" not in caplog.text
