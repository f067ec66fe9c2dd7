"""Derivatives of whole models, of the first two orders and in every mode."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from golden_data import assert_close

import hornet_jax
from hornet_jax import create_model
from hornet_jax.models import global_filter, layers
from hornet_jax.pretrained.spec import ModelSpec
from hornet_jax.pretrained.weights_file import write_model

# Both kinds of filter, whose spectrum is resized, and a stage of two blocks. What is compiled grows
# with the taps of a filter and with the blocks.
NANO = {
  **{"base_dim": 4, "orders": (1, 2), "depths": (1, 2), "layer_scale_init": 0.5},
  "filters": ("3x3", (8, 5)),
}
# Both kinds of convolution in each of two blocks; a spectrum that is not resized.
STAGE = {
  **{"base_dim": 4, "orders": (2,), "depths": (2,), "layer_scale_init": 0.5},
  "filters": ((4, 3),),
}
LABELS = np.array([0, 2])


def random_like(tree, seed, size):
  rng = np.random.default_rng(seed)
  return jax.tree.map(lambda p: jnp.asarray(size * rng.standard_normal(p.shape), p.dtype), tree)


@pytest.fixture(scope="module")
def images():
  return jnp.asarray(np.random.default_rng(0).standard_normal((2, 8, 8, 3), np.float32))


def loss_of(model, images):
  def loss(params):
    logits, _ = model.apply({"params": params}, images)
    return -jnp.mean(jax.nn.log_softmax(logits)[np.arange(2), LABELS])

  return loss


def point_and_direction(model, images):
  shapes = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
  direction = random_like(shapes, 1, 1.0)
  length = jnp.sqrt(dot(direction, direction))
  return random_like(shapes, 0, 0.5), jax.tree.map(lambda leaf: leaf / length, direction)


def dot(a, b):
  return sum(jnp.vdot(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def derivatives(loss, params, v):
  """Along v: value, slope, curvature; the gradient; the Hessian times v by pairs of modes."""
  gradient = jax.grad(loss)

  def slope(params):
    return jax.jvp(loss, (params,), (v,))[1]

  return {
    "value": loss(params),
    "slope": slope(params),
    "curvature": jax.jvp(slope, (params,), (v,))[1],
    "gradient": gradient(params),
    "forward over reverse": jax.jvp(gradient, (params,), (v,))[1],
    "reverse over reverse": jax.grad(lambda p: dot(gradient(p), v))(params),
    "reverse over forward": jax.grad(slope)(params),
  }


def difference(function, params, v, step=1e-2):
  """The derivative along v, by finite differences."""
  ahead = function(jax.tree.map(lambda p, d: p + step * d, params, v))
  behind = function(jax.tree.map(lambda p, d: p - step * d, params, v))
  return jax.tree.map(lambda a, b: (a - b) / (2 * step), ahead, behind)


def assert_trees_close(actual, expected, tolerance, what=""):
  """Relative to the largest entry of the whole tree."""
  flat = (
    jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(t)]) for t in (actual, expected)
  )
  assert_close(*flat, tolerance, what)


def assert_derivatives_agree(loss, found, params, v):
  by_differences = difference(jax.jit(jax.value_and_grad(loss)), params, v)
  assert_close(found["slope"], by_differences[0], 5e-3, "slope")
  assert_close(dot(found["gradient"], v), found["slope"], 1e-4, "gradient")
  products = [found[name] for name in found if " over " in name]
  assert len(products) == 3
  for product in products:
    assert_trees_close(product, by_differences[1], 5e-3)
    assert_trees_close(product, products[0], 1e-4)
    assert_close(dot(product, v), found["curvature"], 5e-4, "curvature")


def test_nothing_lacks_a_forward_derivative(images):
  """As functions with `jax.custom_vjp` do; the numbers are in the slow tests and of the ops."""
  model = create_model("hornet_nano_gf", num_classes=3, gradient_sum="float32", **NANO)
  params, _ = point_and_direction(model, images)
  jaxpr = str(jax.make_jaxpr(loss_of(model, images))(params))
  assert "custom_jvp_call" in jaxpr
  assert "custom_vjp_call" not in jaxpr


@pytest.mark.slow
@pytest.mark.parametrize("scan", [False, True])
def test_every_mode_agrees_with_finite_differences(scan, images):
  model = create_model("hornet_nano_gf", scan=scan, num_classes=3, **NANO)
  loss = jax.jit(loss_of(model, images))  # the model is traced once for all modes
  params, v = point_and_direction(model, images)
  found = jax.jit(lambda p, v: derivatives(loss, p, v))(params, v)
  assert_derivatives_agree(loss, found, params, v)


def library_conv(x, kernel, _):
  return jax.lax.conv_general_dilated(
    *(x, kernel, (1, 1), "SAME"),
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    feature_group_count=x.shape[-1],
  )


def library_norm(x, scale, bias, epsilon):
  centered = x - jnp.mean(x, -1, keepdims=True)
  normalized = centered / jnp.sqrt(jnp.mean(centered**2, -1, keepdims=True) + epsilon)
  rows = tuple(range(x.ndim - 1))
  return normalized * jnp.expand_dims(scale, rows) + jnp.expand_dims(bias, rows)


def library_filter(x, filter_re, filter_im, _):
  spectrum = jnp.fft.rfft2(x, axes=(1, 2)) * jax.lax.complex(filter_re, filter_im)[None]
  return jnp.fft.irfft2(spectrum, x.shape[1:3], axes=(1, 2))


# Each way of computing and of remembering once, with a loop and without.
PATHS = [
  {},
  {"remat": "full", "depthwise": "grouped", "gradient_sum": "float32"},
  {"scan": True, "remat": "dense", "depthwise": "shift", "global_filter": "fft"},
  {"scan": True, "remat": "dots", "gradient_sum": "float32"},
]


build = functools.partial(create_model, "hornet_nano_gf", num_classes=3, **STAGE)


def quickly(model, images):
  """Slope, gradient and Hessian-vector products of a model that is traced once."""
  loss = jax.jit(loss_of(model, images))
  gradient = jax.grad(loss)

  @jax.jit
  def run(params, v):
    value, slope = jax.jvp(loss, (params,), (v,))
    return {
      "value": value,
      "slope": slope,
      "gradient": gradient(params),
      "forward over reverse": jax.jvp(gradient, (params,), (v,))[1],
      "reverse over reverse": jax.grad(lambda p: dot(gradient(p), v))(params),
    }

  return run(*point_and_direction(build(), images))


@pytest.fixture(scope="module")
def of_plain_forms(images):
  """What JAX derives of the library's functions."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(layers, "depthwise_conv", library_conv)
    patch.setattr(layers, "layer_norm", library_norm)
    patch.setattr(layers, "gelu", functools.partial(jax.nn.gelu, approximate=False))
    patch.setattr(global_filter, "filter_spectrum", library_filter)
    return quickly(build(), images)


@pytest.mark.slow
@pytest.mark.parametrize("settings", PATHS, ids=str)
def test_every_path_has_the_derivatives_of_plain_forms(settings, images, of_plain_forms):
  found = quickly(build(**settings), images)
  for mode, wanted in of_plain_forms.items():
    assert_trees_close(found[mode], wanted, 1e-4, mode)


@pytest.mark.slow
def test_rounded_derivatives_are_near(images, of_plain_forms):
  rounded = build(dtype=jnp.bfloat16, global_filter="dft_bf16", scan=True)
  for mode, near in quickly(rounded, images).items():
    assert_trees_close(near, of_plain_forms[mode], 0.2, mode)


@pytest.mark.slow
def test_a_loaded_run_has_them_without_jit(tmp_path, images, untyped):
  """As a run is loaded: blocks in a loop, parameters of numpy."""
  block = STAGE | {"orders": (1,), "depths": (1,)}
  settings = {"variant": "hornet_nano_gf", "dtype": "float32", "scan": True, **block}
  spec = ModelSpec(
    settings,
    {
      **{"image_size": 8, "eval_crop_fraction": 0.875, "eval_warp": False, "imaging": "turbo"},
      **{"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
    },
    ["one", "two", "three"],
  )
  params, v = point_and_direction(create_model("hornet_nano_gf", num_classes=3, **block), images)
  path = epath.Path(tmp_path / "model.safetensors")
  write_model(path, spec, jax.device_get(params), {})
  model, params, _ = hornet_jax.load(path)
  assert model.execution.scan
  loss = loss_of(model, images)
  assert_derivatives_agree(loss, derivatives(loss, params, v), params, v)
