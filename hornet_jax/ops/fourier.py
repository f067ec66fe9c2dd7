"""This module transforms real images to spectra and back: the orthonormal 2-D Fourier transform.

Each of `rfft2` and `irfft2` is the adjoint of the other but for the weight of the columns, so that
the backward pass of one is the other, in the same form. A spectrum is two real arrays, the real and
the imaginary part, W // 2 + 1 columns wide.
"""

import functools
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from hornet_jax.errors import unknown_name
from hornet_jax.ops.derivative import define_transpose

Implementation = Literal["dft", "dft_bf16", "fft"]
"""`"dft"` multiplies by matrices of cosines and sines, in float32, which suits matrix units, is the
faster form on CPU at these sizes and exports without complex numbers; `"fft"` calls the FFT and
gives the same numbers to float32 rounding; `"dft_bf16"` rounds what it multiplies to bfloat16 and
sums in float32: a thousandth to a hundredth off."""

Spectrum = tuple[Float[Array, "B H V C"], Float[Array, "B H V C"]]


def check_fourier(name: str) -> None:
  """Raises `InputError` if there is no such implementation."""
  if name not in get_args(Implementation):
    raise unknown_name("global filter implementation", name, get_args(Implementation))


def rfft2(x: Float[Array, "B H W C"], implementation: str = "dft") -> Spectrum:
  """Computes the transform over H and W of every channel.

  Args:
    x: real images, float32.
    implementation: name of the method, see `Implementation`.

  Returns:
    The real and the imaginary part.
  """
  return _rfft2(implementation, x.shape[2], x)


def irfft2(spectrum: Spectrum, width: int, implementation: str = "dft") -> Float[Array, "B H W C"]:
  """Computes the real image of a spectrum, which need not be that of a real image.

  As in PyTorch and numpy, the inverse runs over H first and the real inverse over W then ignores
  the imaginary part of the first and (W even) last column.

  Args:
    spectrum: real and imaginary part.
    width: W of the image.
    implementation: name of the method, see `Implementation`.
  """
  return _irfft2(implementation, width, *spectrum)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _rfft2(implementation: str, width: int, x: Array) -> Spectrum:
  del width
  x = checkpoint_name(x, "rfft2")  # by which transforms are counted
  return _rfft2_fft(x) if implementation == "fft" else _rfft2_dft(implementation == "dft_bf16", x)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _irfft2(implementation: str, width: int, re: Array, im: Array) -> Array:
  if implementation == "fft":
    x = _irfft2_fft(width, re, im)
  else:
    x = _irfft2_dft(width, implementation == "dft_bf16", re, im)
  return checkpoint_name(x, "irfft2")


def _transposed_rfft2(implementation: str, width: int, g: Spectrum) -> tuple[Array]:
  weights = _mirrored(width)[None, None, :, None]
  return (_irfft2(implementation, width, g[0] / weights, g[1] / weights),)


def _transposed_irfft2(implementation: str, width: int, g: Array) -> Spectrum:
  weights = _mirrored(width)[None, None, :, None]
  re, im = _rfft2(implementation, width, g)
  return re * weights, im * weights


define_transpose(_rfft2, _transposed_rfft2)
define_transpose(_irfft2, _transposed_irfft2)


def _product(rounded: bool, equation: str, x: Array, matrix: np.ndarray) -> Array:
  if not rounded:
    return jnp.einsum(equation, x, matrix, precision=lax.Precision.HIGHEST)
  # Rounded as it stands, so that one pass of a matrix unit is exact, and every platform has it.
  operands = (lax.reduce_precision(operand, 8, 7) for operand in (x, jnp.asarray(matrix)))
  return jnp.einsum(equation, *operands, precision=lax.Precision.DEFAULT)


def _rfft2_dft(rounded: bool, x: Array) -> Spectrum:
  product = functools.partial(_product, rounded)
  height, width = x.shape[1:3]
  cos_h, sin_h = _dft(height)
  cos_w, sin_w = (m[:, : width // 2 + 1] for m in _dft(width))
  # Over W (real input), then over H: e^(-i t) = cos t - i sin t.
  re = product("bhwc,wv->bhvc", x, cos_w)
  im = -product("bhwc,wv->bhvc", x, sin_w)
  return (
    product("bhvc,hu->buvc", re, cos_h) + product("bhvc,hu->buvc", im, sin_h),
    product("bhvc,hu->buvc", im, cos_h) - product("bhvc,hu->buvc", re, sin_h),
  )


def _irfft2_dft(width: int, rounded: bool, re: Array, im: Array) -> Array:
  product = functools.partial(_product, rounded)
  cos_h, sin_h = _dft(re.shape[1])
  cos_w, sin_w = (m[:, : width // 2 + 1] for m in _dft(width))
  # Over H, then over W, where each inner column stands for its mirror too.
  re, im = (
    product("buvc,uh->bhvc", re, cos_h) - product("buvc,uh->bhvc", im, sin_h),
    product("buvc,uh->bhvc", im, cos_h) + product("buvc,uh->bhvc", re, sin_h),
  )
  mirrored = _mirrored(width)
  return product("bhvc,vw->bhwc", re, (cos_w * mirrored).T) - product(
    "bhvc,vw->bhwc", im, (sin_w * mirrored).T
  )


def _rfft2_fft(x: Array) -> Spectrum:
  spectrum = jnp.fft.rfft2(x, axes=(1, 2), norm="ortho")
  return jnp.real(spectrum), jnp.imag(spectrum)


def _irfft2_fft(width: int, re: Array, im: Array) -> Array:
  # In two steps, so that no backend's two-dimensional inverse may assume symmetry.
  columns = jnp.fft.ifft(lax.complex(re, im), axis=1, norm="ortho")
  return jnp.fft.irfft(columns, n=width, axis=2, norm="ortho")


def _dft(n: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns cos and sin of 2 pi j k / n, each [n, n], divided by sqrt(n)."""
  angle = 2 * np.pi * (np.outer(np.arange(n), np.arange(n)) % n) / n
  scale = 1 / np.sqrt(n)
  return (np.cos(angle) * scale).astype(np.float32), (np.sin(angle) * scale).astype(np.float32)


def _mirrored(width: int) -> np.ndarray:
  """Returns how often each column of the half spectrum occurs in the full one: 1 or 2."""
  count = np.full(width // 2 + 1, 2, np.float32)
  count[0] = 1
  if width % 2 == 0:
    count[-1] = 1
  return count
