"""HorNet as a whole: variants, names, precision, recomputation, errors."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from golden_data import assert_close

from hornet_jax import create_model, list_models
from hornet_jax.models import Execution
from hornet_jax.models.execution import REMAT
from hornet_jax.models.layers import drop_path_factors, drop_path_rates
from hornet_jax.models.registry import VARIANTS
from hornet_jax.models.stacking import stack_blocks, unstack_blocks

IMAGES = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)


def tiny(**overrides):
  """Two stages, one of each kind of filter: enough of a HorNet, and quick to compile."""
  fields = {"orders": (1, 2), "base_dim": 4, "num_classes": 5}
  return create_model("hornet_nano_gf", **{**fields, **overrides})


def abstract_params(model, images=IMAGES):
  return jax.eval_shape(model.init, jax.random.key(0), images)["params"]


@pytest.fixture(scope="module")
def params():
  shapes = abstract_params(tiny())
  return jax.tree.map(
    lambda p: jnp.asarray(0.3 * np.random.default_rng(p.size).standard_normal(p.shape), p.dtype),
    shapes,
  )


@pytest.fixture(scope="module")
def images():
  return jnp.asarray(np.random.default_rng(0).standard_normal(IMAGES.shape, np.float32))


@pytest.mark.parametrize("name", list_models("hornet_*"))
def test_a_stored_filter_has_the_size_of_its_stage_s_spectrum(name):
  model, size = create_model(name), VARIANTS[name].image_size
  grids = model.grids(size, size)
  for s, spatial_filter in enumerate(model.filters):
    if spatial_filter != "7x7":
      assert spatial_filter == (grids[s][0], grids[s][1] // 2 + 1)


def test_parameter_paths():
  model = create_model("hornet_micro_gf", base_dim=4, orders=(2, 2, 2, 2))
  paths = traverse_util.flatten_dict(abstract_params(model), sep="/")
  block = {p.removeprefix("stage_3/block_0/") for p in paths if p.startswith("stage_3/block_0/")}
  dense = {"gnconv/proj_in", "gnconv/proj_out", "gnconv/pws_0", "mlp/fc1", "mlp/fc2"}
  norms = {"norm1", "norm2", "gnconv/dwconv/pre_norm", "gnconv/dwconv/post_norm"}
  assert block == (
    {f"{d}/{leaf}" for d in dense for leaf in ("kernel", "bias")}
    | {f"{n}/{leaf}" for n in norms for leaf in ("scale", "bias")}
    | {"layer_scale1/scale", "layer_scale2/scale", "gnconv/dwconv/dw/kernel"}
    | {"gnconv/dwconv/filter_re", "gnconv/dwconv/filter_im"}
  )
  assert {p.split("/")[0] for p in paths} == (
    {"stem", "norm", "head"}
    | {f"stage_{s}" for s in range(4)}
    | {f"downsample_{s}" for s in range(1, 4)}
  )
  assert "stage_0/block_0/gnconv/dwconv/kernel" in paths
  assert all(leaf.dtype == jnp.float32 for leaf in paths.values())


def test_initial_weights():
  model = tiny(base_dim=16, head_init_scale=0.1)
  params = jax.jit(model.init)(jax.random.key(0), jnp.zeros(IMAGES.shape))
  flat = traverse_util.flatten_dict(params["params"], sep="/")
  for path, value in flat.items():
    leaf = path.split("/")[-1]
    if leaf == "bias":
      np.testing.assert_array_equal(value, 0)
    elif leaf == "scale":
      expected = 0.1 if "layer_scale" in path else 1
      np.testing.assert_allclose(value, expected, rtol=1e-6)
    elif value.size > 200:
      expected = 0.002 if path.startswith("head") else 0.02
      np.testing.assert_allclose(np.std(value), expected, rtol=0.25)


def test_bfloat16(params, images):
  """One compile: float32 and bfloat16 beside each other."""

  def loss(params, model):
    logits, out = model.apply({"params": params}, images)
    return jnp.mean(logits**2), (logits, out["stage_1"])

  @jax.jit
  def run(params):
    gradient = jax.value_and_grad(loss, has_aux=True)
    return gradient(params, tiny()), gradient(params, tiny(dtype=jnp.bfloat16))

  ((_, (logits, _)), grads), ((_, (rough, stage)), rough_grads) = run(params)
  assert logits.dtype == rough.dtype == jnp.float32
  assert stage.dtype == jnp.bfloat16
  assert_close(rough, logits, 0.1)
  for gradient, wanted in zip(*map(jax.tree.leaves, (rough_grads, grads)), strict=True):
    assert gradient.dtype == jnp.float32
    # The direction survives the rounding.
    cosine = jnp.vdot(gradient, wanted) / jnp.linalg.norm(gradient) / jnp.linalg.norm(wanted)
    assert cosine > 0.9
  assert np.any(np.asarray(rough) != np.asarray(logits))


def test_drop_path_depends_on_keys_alone(params, images):
  model = tiny(drop_path_rate=0.5)
  apply = jax.jit(lambda x, keys: model.apply({"params": params}, x, train=True, keys=keys)[0])
  keys = jax.random.split(jax.random.key(3), 2)
  both = apply(images, keys)
  swapped = apply(images[::-1], keys[::-1])
  np.testing.assert_allclose(both, swapped[::-1], rtol=1e-5, atol=1e-5)
  assert not np.allclose(both, apply(images, jax.random.split(jax.random.key(4), 2)))


def test_a_key_named_drop_path_is_split_into_one_for_each_example(params, images):
  model = tiny(drop_path_rate=0.5, layer_scale_init=None)
  rngs = {"drop_path": jax.random.key(3)}
  split = nn.apply(lambda module: jax.random.split(module.make_rng("drop_path"), 2), model)
  keys = split({}, rngs=rngs)
  apply = jax.jit(functools.partial(model.apply, train=True))
  expected, _ = apply({"params": params}, images, keys=keys)
  logits, _ = apply({"params": params}, images, rngs=rngs)
  np.testing.assert_array_equal(logits, expected)
  # Keys that are given go first, and features take the same argument.
  other, _ = apply({"params": params}, images, keys=keys[::-1], rngs=rngs)
  assert np.abs(other - logits).max() > 1e-3
  backbone = tiny(drop_path_rate=0.5, features_only=True)
  maps = jax.eval_shape(
    functools.partial(backbone.apply, train=True, rngs=rngs), {"params": params}, images
  )
  assert len(maps) == 2


def test_drop_path_factors_keep_the_mean():
  rates = drop_path_rates(0.4, (1, 2, 1))
  np.testing.assert_allclose(rates, [0, 0.4 / 3, 0.8 / 3, 0.4], rtol=1e-6)
  factors = np.asarray(drop_path_factors(jax.random.split(jax.random.key(0), 20_000), rates))
  assert factors.shape == (4, 2, 20_000)
  np.testing.assert_allclose(factors.mean(-1), 1, atol=0.03)
  np.testing.assert_allclose((factors == 0).mean(-1), np.tile(rates, (2, 1)).T, atol=0.02)
  np.testing.assert_array_equal(factors[0], 1)
  assert np.mean(factors[3, 0] == factors[3, 1]) < 0.7  # branches draw independently


@pytest.mark.parametrize(
  ("overrides", "size", "message"),
  [
    ({"patch_size": 4}, 7, r"at least 8x8 for patch_size 4, got 7x7, of which stage 1 has"),
    ({"orders": (1, 2, 3)}, 32, r"got 2, 3 and 2"),
    ({"filters": ("5x5", (8,))}, 32, r"such as '7x7' or \(14, 8\), got \(8,\)"),
    ({"depths": (1, 0)}, 32, r"`depths` must be positive"),
    ({"patch_size": 0}, 32, r"`patch_size` must be positive.*got 0"),
    ({"global_filter": "ftt"}, 32, r"'ftt'.*did you mean 'fft'"),
    ({"drop_path_rate": 1.0}, 32, r"in \[0, 1\).*got 1\.0"),
    ({"base_dim": 6, "orders": (3, 2)}, 32, r"multiple of 4 for order 3, got 6"),
  ],
)
def test_errors(overrides, size, message):
  images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
  with pytest.raises(ValueError, match=message):
    abstract_params(tiny(**overrides), images)


def test_channels_first_images_are_refused(params):
  with pytest.raises(ValueError, match=r"expected \[B, H, W, C\] of at least 4x4.*got 3x32"):
    tiny().apply({"params": params}, jnp.zeros((2, 3, 32, 32)))


def test_training_with_drop_path_needs_keys(params, images):
  with pytest.raises(ValueError, match="one random key per example"):
    tiny(drop_path_rate=0.1).apply({"params": params}, images, train=True)


def test_images_must_be_normalised(params):
  with pytest.raises(ValueError, match="expected floating point, got uint8"):
    tiny().apply({"params": params}, jnp.zeros(IMAGES.shape, jnp.uint8))


def test_unknown_names():
  with pytest.raises(ValueError, match=r"unknown variant 'hornet_tiny_7x8'.*'hornet_tiny_7x7'"):
    create_model("hornet_tiny_7x8")
  with pytest.raises(ValueError, match=r"unknown model field 'depth'.*did you mean 'depths'"):
    create_model("hornet_tiny_7x7", depth=3)
  with pytest.raises(ValueError, match=r"`num_classes` must be a whole number.*got -1"):
    create_model("hornet_tiny_7x7", num_classes=-1)


@pytest.mark.slow
def test_scan_and_remat_change_nothing(images):
  """One compile, which need not optimise: blocks dropped at random, with every policy, unrolled
  and looped over, with parameters apart and stacked."""
  deep = tiny(depths=(1, 2), drop_path_rate=0.5, layer_scale_init=0.5)
  params = jax.jit(deep.init)(jax.random.key(0), images)["params"]
  assert abstract_params(deep) == abstract_params(deep.clone(execution=Execution(scan=True)))
  keys = jax.random.split(jax.random.key(1), len(images))

  def loss(params, model):
    logits, _ = model.apply({"params": params}, images, train=True, keys=keys)
    return jnp.mean(logits**2), logits

  kinds = [(remat, scan, False) for scan in (False, True) for remat in REMAT]
  kinds += [("none", True, True), ("full", True, True)]

  def stacked_gradient(params, model):
    results, grads = jax.value_and_grad(loss, has_aux=True)(stack_blocks(params), model)
    return results, unstack_blocks(grads)

  @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
  def run(params):
    of_kind = {False: jax.value_and_grad(loss, has_aux=True), True: stacked_gradient}
    return [
      of_kind[stacked](params, deep.clone(execution=Execution(remat=remat, scan=scan)))
      for remat, scan, stacked in kinds
    ]

  ((_, logits), grads), *others = run(params)
  for (_, same), same_grads in others:
    assert_close(same, logits, 1e-6)
    jax.tree.map(lambda a, b: assert_close(a, b, 1e-5), grads, same_grads)


def test_parameters_of_other_blocks_are_refused(params, images):
  looped, stacked = tiny(scan=True), stack_blocks(params)
  with pytest.raises(ValueError, match=r"lie apart without `scan`: .* block_0, got 'blocks'"):
    tiny().apply({"params": stacked}, images)
  with pytest.raises(
    ValueError, match=r"those of its blocks: expected 'blocks' of 1, .* got norm1, norm2"
  ):
    looped.apply({"params": params | {"stage_1": {"norm1": {}, "norm2": {}}}}, images)
  with pytest.raises(ValueError, match=r"those of its blocks: .* block_1, got 'blocks' of 1\."):
    looped.clone(depths=(1, 2)).apply({"params": stacked}, images)


def test_policies_keep_what_they_say(params, images):
  """Residuals of a block's backward pass, without compiling."""

  def saved(remat):
    model = tiny(remat=remat)
    _, pullback = jax.eval_shape(
      lambda p: jax.vjp(lambda p: model.apply({"params": p}, images)[0], p), params
    )
    return sum(leaf.size for leaf in jax.tree.leaves(pullback))

  assert saved("full") < saved("dense") < saved("none")
  assert saved("dense") <= saved("dots")
  with pytest.raises(ValueError, match=r"unknown remat 'all': expected one of dense, dots, full"):
    create_model("hornet_tiny_7x7", remat="all")


def test_every_intermediate_is_named():
  model = tiny(depths=(1, 2))
  assert model.intermediate_names() == [
    *("stem", "stage_0/block_0", "stage_0", "stage_1/block_0", "stage_1/block_1", "stage_1"),
    *("pre_logits", "logits"),
  ]
  scanned = tiny(depths=(1, 2), scan=True)
  assert scanned.intermediate_names() == ["stem", "stage_0", "stage_1", "pre_logits", "logits"]
  for variant in (scanned, tiny(remat="full"), tiny(num_classes=0)):
    _, out = jax.eval_shape(variant.init_with_output, jax.random.key(0), IMAGES)[0]
    assert sorted(out) == sorted(variant.intermediate_names())
    assert out["stage_1"].shape == (2, 8, 8, 8)


def test_no_head(params, images):
  models = (tiny(num_classes=0), tiny())
  run = jax.jit(lambda params: [model.apply({"params": params}, images) for model in models])
  (logits, out), (_, expected) = run(params)
  np.testing.assert_array_equal(logits, expected["pre_logits"])
  np.testing.assert_array_equal(out["stage_1/block_0"], expected["stage_1"])
  assert set(abstract_params(tiny())) - set(abstract_params(tiny(num_classes=0))) == {"head"}
