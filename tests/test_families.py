"""Every family has the services that HorNet has: the same tests over micro models of all."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util
from golden_data import assert_close

from hornet_jax import Execution, create_model, list_models, reset_classifier
from hornet_jax.config.build import on_mesh
from hornet_jax.cost import forward_work
from hornet_jax.data.views.eval_view import EvalView
from hornet_jax.errors import InputError
from hornet_jax.models import VARIANTS
from hornet_jax.models.attention import WindowAttention
from hornet_jax.parallel.mesh import make_mesh
from hornet_jax.tasks import Classification
from hornet_jax.train.layer_decay import layer_ids
from hornet_jax.train.optimizer import adamw, decay_mask
from hornet_jax.train.state import create_state
from hornet_jax.train.step import StepSettings, make_train_step

# Small and quick to compile; the third has blocks of two kinds, one of them left over by turns.
FAMILIES = {
  "convnext_micro": {"base_dim": 4, "depths": (1, 2)},
  "convnext_iso_micro": {"base_dim": 8, "depths": (2,)},
  "swin_micro": {"base_dim": 4, "depths": (3, 1), "num_heads": (1, 2)},
  "deit_micro": {"base_dim": 12, "depths": (2,), "num_heads": 3},
  "hornet_iso_micro_gf": {"base_dim": 32, "depths": (2,)},
  "ladder_micro_se": {"base_dim": 4, "depths": (1, 2)},
  "ladder_micro_g2345_attention": {
    "base_dim": 4,
    "depths": (1, 2),
    "orders": (2, 3),
    "filters": (functools.partial(WindowAttention, 2, 4),) * 2,
  },
}
# Of the others the same is a slow test.
QUICK = [
  name if name == "deit_micro" else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES
]
IMAGES = (4, 32, 32, 3)


def micro(name, **overrides):
  return create_model(name, **{"num_classes": 5, **FAMILIES[name], **overrides})


def shapes_of(model, size=32):
  images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
  return jax.eval_shape(model.init, jax.random.key(0), images)["params"]


def random_params(model, size=32):
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda p: jnp.asarray(0.3 * rng.standard_normal(p.shape), p.dtype), shapes_of(model, size)
  )


def flat(tree):
  return traverse_util.flatten_dict(tree, sep="/")


@pytest.fixture(scope="module")
def images():
  return jnp.asarray(np.random.default_rng(0).standard_normal(IMAGES, np.float32))


@pytest.mark.parametrize("name", list_models())
def test_every_model_runs_at_its_size(name):
  model, size = create_model(name), VARIANTS[name].image_size
  images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
  short = model.clone(depths=[1] * len(model.depths))
  logits, out = jax.eval_shape(short.init_with_output, jax.random.key(0), images)[0]
  assert logits.shape == (1, 1000)
  grids = [out[f"stage_{s}"].shape[1:3] for s in range(len(model.depths))]
  assert grids == model.grids(size, size)


@pytest.mark.parametrize("name", QUICK)
def test_loops_and_recomputing_and_drop_path_change_nothing(name, images):
  """One compile of both ways: with the same keys the same blocks are dropped."""
  plain = micro(name, drop_path_rate=0.5)
  params = random_params(plain)
  keys = jax.random.split(jax.random.key(1), IMAGES[0])

  def loss(params, model):
    logits, _ = model.apply({"params": params}, images, True, keys)
    return jnp.mean(logits**2)

  looped = plain.clone(execution=Execution(scan=True, remat="full"))

  @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
  def both(params):
    return [jax.value_and_grad(loss)(params, model) for model in (plain, looped)]

  one, other = both(params)
  np.testing.assert_allclose(one[0], other[0], rtol=1e-5)
  for path, gradient in flat(one[1]).items():
    assert_close(flat(other[1])[path], gradient, 1e-4, path)
  # Some blocks were dropped: without keys the loss is another.
  assert abs(loss(params, plain.clone(drop_path_rate=0.0)) - one[0]) > 1e-6


@pytest.mark.parametrize("name", QUICK)
def test_bfloat16_features_and_heads(name, images):
  model = micro(name)
  params = random_params(model)
  logits, out = model.apply({"params": params}, images)
  rounded, _ = model.clone(execution=Execution(jnp.bfloat16)).apply({"params": params}, images)
  assert rounded.dtype == jnp.float32
  assert_close(rounded, logits, 0.1)
  maps = create_model(name, features_only=True, **FAMILIES[name])
  for feature, value in zip(model.features(), maps.apply({"params": params}, images), strict=True):
    assert value.shape == (IMAGES[0], 32 // feature.stride, 32 // feature.stride, feature.channels)
    np.testing.assert_array_equal(value, out[feature.name])
  wider, new = reset_classifier(model, params, 7, jax.random.key(0), 32)
  other, again = wider.apply({"params": new}, images)
  assert other.shape == (IMAGES[0], 7)
  np.testing.assert_array_equal(again["pre_logits"], out["pre_logits"])


@pytest.mark.parametrize("name", FAMILIES)
def test_other_image_sizes(name):
  """Sides that no window and no patch divides; what depends on the size is adapted."""
  model = micro(name)
  logits, out = jax.eval_shape(
    model.apply, {"params": shapes_of(model)}, jax.ShapeDtypeStruct((2, 52, 36, 3), jnp.float32)
  )
  assert logits.shape == (2, 5)
  assert [out[f"stage_{s}"].shape[1:3] for s in range(len(model.depths))] == model.grids(52, 36)


def test_tables_of_positions_are_adapted():
  vit, swin = micro("deit_micro"), micro("swin_micro")
  larger = micro("deit_micro", grid=(12, 12)), micro("swin_micro", window=7)
  for model, other in zip((vit, swin), larger, strict=True):
    params, wanted = flat(random_params(model)), flat(shapes_of(other))
    changed = {path for path, leaf in wanted.items() if leaf.shape != params[path].shape}
    assert {path.split("/")[-1] for path in changed} <= {"positions", "relative_bias"}
    assert changed
    for path, leaf in wanted.items():
      assert model.adapt(path, params[path], leaf.shape).shape == leaf.shape


def test_windows_that_do_not_divide_the_grid_are_padded_and_then_moved():
  """Against attention one position at a time, from the definition."""
  height, width, side, shift, channels = 5, 6, 4, 2, 4
  module = WindowAttention(num_heads=1, window=side, shift=shift)
  rng = np.random.default_rng(0)
  x = rng.standard_normal((1, height, width, channels)).astype(np.float32)
  params = module.init(jax.random.key(0), jnp.asarray(x))["params"]
  params = jax.tree.map(lambda p: rng.standard_normal(p.shape).astype(np.float32), params)
  rows, columns = 8, 8  # of the padded grid
  padded = np.zeros((rows, columns, channels), np.float32)
  padded[:height, :width] = x[0]
  qkv = padded @ params["qkv"]["kernel"] + params["qkv"]["bias"]
  q, k, v = np.split(qkv, 3, axis=-1)
  bias = params["relative_bias"][..., 0]

  def place(i, j):
    """Window of a position, and the region of the grid that it is of, after the move."""
    moved = (i - shift) % rows, (j - shift) % columns
    return (moved[0] // side, moved[1] // side), moved, (i < shift, j < shift)

  expected = np.zeros((height, width, channels), np.float32)
  for i in range(height):
    for j in range(width):
      window, (a, b), region = place(i, j)
      scores, values = [], []
      for m in range(rows):
        for n in range(columns):
          other, (c, d), its_region = place(m, n)
          if other == window:
            score = q[i, j] @ k[m, n] / np.sqrt(channels)
            score += bias[a % side - c % side + side - 1, b % side - d % side + side - 1]
            scores.append(score - 100 * (region != its_region))
            values.append(v[m, n])
      weights = np.exp(np.array(scores) - max(scores))
      mixed = weights / weights.sum() @ np.array(values)
      expected[i, j] = mixed @ params["proj"]["kernel"] + params["proj"]["bias"]
  assert_close(
    module.apply({"params": jax.tree.map(jnp.asarray, params)}, jnp.asarray(x))[0], expected, 1e-5
  )


@pytest.mark.parametrize(
  "name",
  [
    *("convnext_tiny", "swin_tiny", "deit_small", "vit_base", "convnext_iso_small"),
    *("hornet_iso_small_7x7", "hornet_iso_small_gf", "ladder_se", "ladder_g2345_attention"),
  ],
)
def test_counts_against_the_compiler(name):
  """It counts element-wise work, too, but no taps outside of the image."""
  model, size = create_model(name, depthwise="grouped"), VARIANTS[name].image_size
  images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
  flops = jax.jit(model.apply).lower({"params": shapes_of(model, size)}, images).cost_analysis()
  work = forward_work(model, size)
  assert 1 <= flops["flops"] / (2 * (work.macs + work.fourier_macs)) <= 1.02


# Numbers of the layers as the families' own code gives them, by name of the parameter there.
LAYERS = {
  # Official ConvNeXt, optim_factory.py: three blocks of the third stage a layer.
  "convnext_small": {
    "stem/conv/kernel": 0,
    "stage_0/block_2/dwconv/kernel": 1,
    "downsample_1/conv/kernel": 2,
    "stage_1/block_0/mlp/fc1/bias": 2,
    "downsample_2/norm/scale": 3,
    "stage_2/block_2/norm/scale": 3,
    "stage_2/block_26/norm/scale": 11,
    "downsample_3/conv/bias": 12,
    "stage_3/block_2/layer_scale/scale": 12,
    "head/kernel": 13,
  },
  # Official Swin, optimizer.py: a merging is of the layer of the block before it.
  "swin_tiny": {
    "stem/norm/scale": 0,
    "stage_0/block_0/attention/qkv/kernel": 1,
    "stage_0/block_1/mlp/fc1/bias": 2,
    "downsample_1/reduction/kernel": 2,
    "stage_1/block_0/norm1/scale": 3,
    "downsample_2/norm/bias": 4,
    "stage_2/block_5/attention/relative_bias": 10,
    "stage_3/block_1/attention/proj/bias": 12,
    "norm/scale": 13,
  },
  # Official BEiT, optim_factory.py, as for ViT.
  "deit_small": {
    "tokens/positions": 0,
    "tokens/class_token": 0,
    "tokens/class_position": 0,
    "stem/conv/bias": 0,
    "stage_0/block_0/norm1/scale": 1,
    "stage_0/block_11/mlp/fc2/kernel": 12,
    "norm/bias": 13,
    "head/bias": 13,
  },
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_and_what_is_decayed(name):
  model = create_model(name)
  params = shapes_of(model, 224)
  ids = flat(layer_ids(model.param_info, params))
  assert {path: ids[path] for path in LAYERS[name]} == LAYERS[name]
  assert max(ids.values()) == model.param_info("head/kernel").num_layers - 1
  decayed = {
    path for path, is_decayed in flat(decay_mask(model.param_info, params)).items() if is_decayed
  }
  assert decayed == {path for path in flat(params) if path.endswith("kernel")}


def test_fields_that_do_not_fit():
  for name, fields, message in (
    ("swin_micro", {"num_heads": (1, 2)}, r"`depths` and `num_heads` must have one entry a stage"),
    ("swin_micro", {"window": 0}, "`window` must be positive"),
    ("deit_micro", {"depths": (1, 1)}, "`depths` must be of one stage"),
    (
      "deit_micro",
      {"num_heads": 5},
      r"`num_heads` must divide the width: expected a divisor of 48",
    ),
  ):
    with pytest.raises(InputError, match=message):
      shapes_of(create_model(name, **fields))


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_training_on_eight_devices_and_in_parts(name, monkeypatch):
  """Five steps on one device, and on two groups of four with the parameters in four parts."""
  monkeypatch.setattr("hornet_jax.parallel.sharding.MIN_SIZE", 1)
  rng = np.random.default_rng(0)
  batch = {
    "image": jnp.asarray(rng.integers(0, 256, (8, 32, 32, 3), np.uint8)),
    "label": jnp.asarray(rng.integers(0, 5, 8), jnp.int32),
    "weight": jnp.ones(8),
    "index": jnp.arange(8, dtype=jnp.int32),
  }
  task = Classification(5, EvalView(32, 1.0), mean=(0.5,) * 3, std=(1.0,) * 3, label_smoothing=0.1)
  losses = []
  for devices, fsdp in ((1, 1), (8, 4)):
    mesh = make_mesh(jax.devices()[:devices], fsdp)
    model = on_mesh(micro(name, scan=fsdp > 1, remat="full" if fsdp > 1 else "none"), mesh)
    tx = adamw(
      model.param_info, b1=0.9, b2=0.99, eps=1e-8, weight_decay=0.1, clip_norm=0.0, layer_decay=1.0
    )
    step = make_train_step(
      model, task, tx, optax.constant_schedule(0.01), StepSettings(1, 0.0, 0.5, 0), devices
    )
    state = create_state(model, tx, (8, 32, 32, 3), mesh, seed=0)
    of_run = []
    with jax.set_mesh(mesh):
      # The state lies as it did: one compile serves all steps.
      update = jax.jit(
        step,
        out_shardings=(jax.tree.map(lambda leaf: leaf.sharding, state), None),
        compiler_options={"xla_backend_optimization_level": 0},
      )
      for _ in range(5):
        state, metrics = update(state, batch)
        of_run += [float(metrics["loss"]), float(metrics["grad_norm"])]
    losses.append(of_run)
  np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
