"""gnConv: algebra, widths and errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_data import assert_close

from hornet_jax.models import Execution
from hornet_jax.models.global_filter import GlobalLocalFilter
from hornet_jax.models.gnconv import GnConv, gnconv_dims
from hornet_jax.models.layers import DepthwiseConv


def init_and_apply(module, x):
  """Parameters larger than the initial ones, so that errors show, and the output."""
  shapes = jax.eval_shape(module.init, jax.random.key(0), x)["params"]
  params = jax.tree.map(
    lambda p: jnp.asarray(0.3 * np.random.default_rng(p.size).standard_normal(p.shape), p.dtype),
    shapes,
  )
  return params, jax.jit(module.apply)({"params": params}, x)


def test_dims():
  assert gnconv_dims(64, 1) == [64]
  assert gnconv_dims(64, 5) == [4, 8, 16, 32, 64]


def test_order_one_is_one_gated_convolution():
  x = jax.random.normal(jax.random.key(1), (2, 5, 6, 4))
  params, y = init_and_apply(GnConv(4, order=1, filter="3x3", scale=0.5), x)
  projected = x @ params["proj_in"]["kernel"] + params["proj_in"]["bias"][None, None, None]
  p, q = projected[..., :4], np.asarray(projected[..., 4:])
  padded = np.pad(q, ((0, 0), (1, 1), (1, 1), (0, 0)))
  kernel = np.asarray(params["dwconv"]["kernel"])
  f = sum(
    padded[:, i : i + 5, j : j + 6] * kernel[i, j, 0] for i in range(3) for j in range(3)
  ) + np.asarray(params["dwconv"]["bias"])
  expected = (p * 0.5 * f) @ params["proj_out"]["kernel"]
  assert_close(y, expected + params["proj_out"]["bias"][None, None, None])


@pytest.mark.parametrize("spatial_filter", ["5x5", (3, 2)])
def test_in_and_out_widths_may_differ(spatial_filter):
  x = jax.random.normal(jax.random.key(1), (1, 4, 4, 6))
  _, y = init_and_apply(GnConv(16, order=3, filter=spatial_filter, out_dim=10), x)
  assert y.shape == (1, 4, 4, 10)


def test_interleaved_or_in_halves_is_the_same_function():
  x = jax.random.normal(jax.random.key(1), (2, 6, 6, 16))
  module = GnConv(16, order=3, filter=(6, 4), scale=0.5)
  params, in_halves = init_and_apply(module, x)
  interleaved = jax.jit(module.clone(execution=Execution(scan=True, fsdp=True)).apply)(
    {"params": params}, x
  )
  assert_close(in_halves, interleaved)


@pytest.mark.parametrize(
  ("slot", "name"),
  [
    (functools.partial(DepthwiseConv, (3, 3)), "3x3"),
    (functools.partial(GlobalLocalFilter, (6, 4)), (6, 4)),
  ],
)
def test_a_filter_may_be_any_module(slot, name):
  """Its constructor gives what its short name does, in whichever order it leaves its channels."""
  x = jax.random.normal(jax.random.key(1), (2, 6, 6, 16))
  params, expected = init_and_apply(GnConv(16, order=3, filter=name), x)
  by_slot, y = init_and_apply(GnConv(order=3, filter=slot), x)
  assert jax.tree.structure(by_slot) == jax.tree.structure(params)
  assert_close(y, expected)


def test_translation_equivariance_of_the_interior():
  x = jnp.zeros((1, 16, 16, 4)).at[:, 7, 7].set(1.0)
  module = GnConv(4, order=2, filter="3x3")
  params, y = init_and_apply(module, x)
  shifted = jax.jit(module.apply)({"params": params}, jnp.roll(x, (2, 3), (1, 2)))
  assert_close(shifted[:, 6:12, 6:14], jnp.roll(y, (2, 3), (1, 2))[:, 6:12, 6:14], 1e-6)


def test_reach_of_one_step_is_the_filter():
  """A gradient test of causality: an output sees what its filter covers, nothing else."""
  module = GnConv(4, order=3, filter="5x5")
  x = jax.random.normal(jax.random.key(1), (1, 9, 9, 4))
  params, _ = init_and_apply(module, x)
  grad = jax.jit(jax.grad(lambda x: module.apply({"params": params}, x)[0, 4, 4].sum()))(x)
  seen = np.abs(np.asarray(grad)).sum((0, 3)) > 0
  expected = np.zeros((9, 9), bool)
  expected[2:7, 2:7] = True
  np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"dim": 12, "order": 4}, r"multiple of 8 for order 4, got 12"),
    ({"dim": 8, "order": 0}, r"order >= 1, got 0"),
    ({"dim": 16, "order": 5, "filter": (4, 3)}, r"even, got 31.*multiple of 32"),
    ({"dim": 8, "order": 2, "filter": "4x4"}, r"odd sides.*'7x7'.*got '4x4'"),
    ({"dim": 8, "order": 2, "filter": "global"}, r"got 'global'"),
  ],
)
def test_errors(fields, message):
  with pytest.raises(ValueError, match=message):
    jax.eval_shape(GnConv(**fields).init, jax.random.key(0), jnp.ones((1, 4, 4, 8)))
