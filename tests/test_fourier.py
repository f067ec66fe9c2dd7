"""The Fourier transforms' gradients, and the rounded form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_data import assert_close

from hornet_jax.ops.fourier import irfft2, rfft2

SIZES = [(7, 9), (8, 8), (1, 4), (5, 1)]


def library_rfft2(x):
  spectrum = jnp.fft.rfft2(x, axes=(1, 2), norm="ortho")
  return jnp.real(spectrum), jnp.imag(spectrum)


def library_irfft2(spectrum, size):
  columns = jnp.fft.ifft(jax.lax.complex(*spectrum), axis=1, norm="ortho")
  return jnp.fft.irfft(columns, n=size[1], axis=2, norm="ortho")


def images_and_spectrum(size):
  keys = jax.random.split(jax.random.key(0), 3)
  half = (2, size[0], size[1] // 2 + 1, 3)
  spectrum = tuple(jax.random.normal(key, half) for key in keys[1:])
  return jax.random.normal(keys[0], (2, *size, 3)), spectrum


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("implementation", ["dft", "fft"])
def test_both_ways_and_back(size, implementation):
  """Values and gradients against the library's own derivatives of the FFT."""
  x, spectrum = images_and_spectrum(size)

  @jax.jit
  def run(x, spectrum):
    forward, pull = jax.vjp(lambda x: rfft2(x, implementation), x)
    inverse, pull_inverse = jax.vjp(lambda s: irfft2(s, size[1], implementation), spectrum)
    return forward, pull(spectrum), inverse, pull_inverse(x)

  @jax.jit
  def expected(x, spectrum):
    forward, pull = jax.vjp(library_rfft2, x)
    inverse, pull_inverse = jax.vjp(lambda s: library_irfft2(s, size), spectrum)
    return forward, pull(spectrum), inverse, pull_inverse(x)

  ours, theirs = run(x, spectrum), expected(x, spectrum)
  for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
    if np.max(np.abs(b)) > 1e-6:
      assert_close(a, b, 2e-6)
    else:  # imaginary parts that are zero
      np.testing.assert_allclose(a, b, atol=2e-6)


def test_rounded_products_are_near():
  x, _ = images_and_spectrum((8, 8))
  exact, rounded = rfft2(x, "dft"), rfft2(x, "dft_bf16")
  for a, b in zip(rounded, exact, strict=True):
    assert a.dtype == jnp.float32
    error = np.max(np.abs(a - b)) / np.max(np.abs(b))
    assert 1e-4 < error < 2e-2
