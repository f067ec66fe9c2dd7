"""The spectral filter: both implementations, any size, the resize."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_data import assert_close

from hornet_jax.models.global_filter import filter_spectrum, resize_filter


@pytest.mark.parametrize("size", [(7, 9), (8, 8), (1, 4), (5, 1), (6, 3)])
def test_dft_and_fft_equal_numpy(size):
  kx, kr, ki = jax.random.split(jax.random.key(0), 3)
  x = jax.random.normal(kx, (2, *size, 3))
  grid = (size[0], size[1] // 2 + 1, 3)
  re, im = jax.random.normal(kr, grid), jax.random.normal(ki, grid)
  spectrum = np.fft.rfft2(x, axes=(1, 2), norm="ortho") * (np.asarray(re) + 1j * np.asarray(im))
  expected = np.fft.irfft2(spectrum, s=size, axes=(1, 2), norm="ortho")
  run = jax.jit(filter_spectrum, static_argnums=3)
  for implementation in ("dft", "fft"):
    assert_close(run(x, re, im, implementation), expected, 2e-6, implementation)


def test_all_pass_filter_is_the_identity():
  x = jax.random.normal(jax.random.key(0), (1, 6, 5, 2))
  ones, zeros = jnp.ones((6, 3, 2)), jnp.zeros((6, 3, 2))
  assert_close(filter_spectrum(x, ones, zeros), x, 1e-6)


def test_resize_is_exact_on_planes_and_keeps_corners():
  rows, columns = jnp.arange(5.0)[:, None, None], jnp.arange(4.0)[None, :, None]
  plane = 2 * rows - 3 * columns + 1
  resized = resize_filter(plane, (9, 7))
  expected = 2 * np.linspace(0, 4, 9)[:, None, None] - 3 * np.linspace(0, 3, 7)[None, :, None] + 1
  assert_close(resized, expected, 1e-6)
  assert resize_filter(plane, (5, 4)) is plane


def test_resize_to_one_takes_the_first_sample():
  x = jnp.arange(12.0).reshape(3, 4, 1)
  np.testing.assert_array_equal(resize_filter(x, (1, 1)), x[:1, :1])
  np.testing.assert_array_equal(resize_filter(x[:1], (3, 4))[2], x[0])


def test_resize_passes_gradients_to_the_stored_size():
  gradient = jax.grad(lambda f: resize_filter(f, (6, 5)).sum())(jnp.ones((3, 4, 2)))
  np.testing.assert_allclose(gradient.sum((0, 1)), [30, 30], rtol=1e-6)
