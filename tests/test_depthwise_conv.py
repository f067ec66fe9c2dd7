"""Both forms of the depthwise convolution are the same function, with the same gradients."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_data import assert_close

from hornet_jax.ops import depthwise_conv
from hornet_jax.ops.depthwise_conv import _gpu_backward, _grouped_backward

SHAPES = [
  ((2, 7, 9, 5), (7, 7)),
  ((1, 4, 3, 2), (3, 3)),
  ((2, 2, 2, 3), (7, 7)),
  ((1, 5, 6, 4), (3, 5)),
]


def value_and_gradients(implementation, x, kernel, g):
  y, vjp = jax.vjp(lambda x, k: depthwise_conv(x, k, implementation), x, kernel)
  return y, *vjp(g)


@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_equals_grouped_convolution(shape, size):
  kx, kk, kg = jax.random.split(jax.random.key(0), 3)
  x, g = jax.random.normal(kx, shape), jax.random.normal(kg, shape)
  kernel = jax.random.normal(kk, (*size, 1, shape[-1]))
  run = jax.jit(value_and_gradients, static_argnums=0)
  reference = run("grouped", x, kernel, g)
  for implementation in ("shift", "auto"):
    for actual, expected in zip(run(implementation, x, kernel, g), reference, strict=True):
      assert_close(actual, expected, 2e-6)


@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_the_gradients_on_gpu_are_the_same(shape, size):
  kx, kk, kg = jax.random.split(jax.random.key(0), 3)
  x, g = jax.random.normal(kx, shape), jax.random.normal(kg, shape)
  kernel = jax.random.normal(kk, (*size, 1, shape[-1]))
  reference = _grouped_backward(x, kernel, g)
  for actual, expected in zip(_gpu_backward(x, kernel, g), reference, strict=True):
    assert_close(actual, expected, 2e-6)


def test_by_definition():
  x = jnp.arange(12.0).reshape(1, 3, 4, 1)
  kernel = jnp.zeros((3, 3, 1, 1)).at[0, 2, 0, 0].set(1.0)  # looks up and to the right
  expected = np.zeros((1, 3, 4, 1), np.float32)
  expected[0, 1:, :3, 0] = np.asarray(x)[0, :2, 1:, 0]
  np.testing.assert_array_equal(depthwise_conv(x, kernel), expected)


def test_bfloat16_sums_in_float32():
  x = jax.random.normal(jax.random.key(0), (1, 8, 8, 4), jnp.bfloat16)
  kernel = jax.random.normal(jax.random.key(1), (7, 7, 1, 4), jnp.bfloat16)
  y = depthwise_conv(x, kernel, "shift")
  chex.assert_type(y, jnp.bfloat16)
  exact = depthwise_conv(x.astype(jnp.float32), kernel.astype(jnp.float32), "shift")
  np.testing.assert_array_equal(y, exact.astype(jnp.bfloat16))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_form_is_chosen_when_lowered_for_a_platform(dtype):
  kernel = jnp.ones((7, 7, 1, 4), dtype)

  def convolutions(platform, side):
    x = jnp.ones((1, side, side, 4), dtype)
    gradients = jax.jit(jax.grad(lambda x, k: depthwise_conv(x, k).sum(), (0, 1)))
    lowered = gradients.trace(x, kernel).lower(lowering_platforms=(platform,))
    return lowered.as_text().count("stablehlo.convolution")

  # Of the input and of the kernel; where the kernel covers the image, a GPU has products.
  assert [convolutions(platform, 8) for platform in ("cpu", "cuda", "tpu")] == [0, 2, 2]
  assert [convolutions(platform, 7) for platform in ("cpu", "cuda", "tpu")] == [0, 1, 2]


def test_bad_arguments():
  x = jnp.ones((1, 4, 4, 2))
  with pytest.raises(ValueError, match=r"odd sides.*got 2x3"):
    depthwise_conv(x, jnp.ones((2, 3, 1, 2)))
  with pytest.raises(ValueError, match=r"'shfit'.*did you mean 'shift'"):
    depthwise_conv(x, jnp.ones((3, 3, 1, 2)), "shfit")
