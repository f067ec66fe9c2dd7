"""LayerNorm and GELU against the libraries' own, and what they keep for the backward pass."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hornet_jax.ops import gelu, layer_norm


def library_norm(x, scale, bias):
  module = nn.LayerNorm(epsilon=1e-6, use_fast_variance=False, dtype=x.dtype)
  return module.apply({"params": {"scale": scale, "bias": bias}}, x)


def library_gelu(x):
  return jax.nn.gelu(x, approximate=False)


@pytest.fixture
def norm_arguments():
  rng = np.random.default_rng(0)
  # Far from mean 0: one pass over squares would lose digits.
  x, scale, bias = rng.normal(30, 2, (2, 3, 4, 16)), rng.normal(1, 1, 16), rng.normal(0, 1, 16)
  return tuple(jnp.asarray(a, jnp.float32) for a in (x, scale, bias))


def gradients(function, arguments):
  """Of a sum with weights that differ from place to place."""
  weights = jnp.cos(jnp.arange(arguments[0].size, dtype=jnp.float32)).reshape(arguments[0].shape)

  def total(*args):
    return jnp.sum(function(*args).astype(jnp.float32) * weights)

  return jax.grad(total, tuple(range(len(arguments))))(*arguments)


def test_layer_norm_is_the_library_s(norm_arguments):
  np.testing.assert_allclose(
    layer_norm(*norm_arguments), library_norm(*norm_arguments), rtol=1e-5, atol=1e-5
  )
  ours, theirs = (gradients(f, norm_arguments) for f in (layer_norm, library_norm))
  for a, b in zip(ours, theirs, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)


def test_layer_norm_in_bfloat16_rounds_its_result_alone(norm_arguments):
  x, scale, bias = norm_arguments
  x = x.astype(jnp.bfloat16)
  exact = layer_norm(x.astype(jnp.float32), scale, bias)
  y = layer_norm(x, scale, bias)
  assert y.dtype == jnp.bfloat16
  np.testing.assert_array_equal(y, exact.astype(jnp.bfloat16))


def test_gelu_is_the_library_s():
  x = jnp.linspace(-12, 12, 1001)
  np.testing.assert_allclose(gelu(x), library_gelu(x), rtol=1e-6, atol=5e-7)
  ours, theirs = gradients(gelu, (x,))[0], gradients(library_gelu, (x,))[0]
  np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
  assert gelu(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


@pytest.mark.parametrize("function", [layer_norm, gelu])
def test_the_input_alone_is_kept(function, norm_arguments):
  x, *parameters = norm_arguments
  x = x.astype(jnp.bfloat16)
  arguments = (x, *parameters) if function is layer_norm else (x,)
  _, pullback = jax.vjp(function, *arguments)
  kept = [leaf for leaf in jax.tree.leaves(pullback) if leaf.size >= x.size]
  assert [(leaf.shape, leaf.dtype) for leaf in kept] == [(x.shape, jnp.bfloat16)]
