"""The global filter: half of the channels local, half filtered in the spectrum."""

import functools
from typing import Literal, get_args

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from hornet_jax.errors import InputError, unknown_name
from hornet_jax.models.dense import kernel_init
from hornet_jax.models.layers import DepthwiseConv, LayerNorm

GlobalFilter = Literal["dft", "fft"]


class GlobalLocalFilter(nn.Module):
  """A 3x3 depthwise convolution beside a learned filter of the 2-D spectrum.

  x        = pre_norm(x)
  local    = dwconv3x3(x[..., :D/2])                           (no bias)
  global   = irfft2(rfft2(x[..., D/2:]) * (filter_re + i filter_im))
  out[2c], out[2c + 1] = local[c], global[c]                   (interleaved, or in halves)
  out      = post_norm(out)

  The spectrum is orthonormal and computed in float32. A stored filter of another
  size is resized to the spectrum's grid at every call (`resize_filter`), so any
  image size is accepted.

  Source: arXiv 2207.14284 section 3.2 and appendix; official hornet.py,
  `GlobalLocalFilter`.
  Deviation: the complex weight [D/2, h, w, 2] is stored as two real arrays
  [h, w, D/2]. In bfloat16 what the spectrum gives is rounded before post_norm.

  Attributes:
    filter_size: (h, w), the stored grid; w = W // 2 + 1 for images of width W.
    implementation: `"dft"` multiplies by DFT matrices, which suits matrix units
      and exports without complex numbers; `"fft"` calls the FFT. Same numbers to
      float32 rounding.
    depthwise: implementation of the 3x3 convolution, see `depthwise_conv`.
    precision: of the DFT products; a TPU's default would be bfloat16.
    interleave: whether the result has the official order of channels. Else it is that of
      `halves`, local before global, which spares moving every feature; the parameters of
      post_norm keep the official order.
    dtype: type of the computation around the spectrum.
  """

  filter_size: tuple[int, int]
  implementation: str = "dft"
  depthwise: str = "auto"
  precision: lax.Precision = lax.Precision.HIGHEST
  interleave: bool = True
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "B H W D"]) -> Float[Array, "B H W D"]:
    check_implementation(self.implementation)
    channels = x.shape[-1]
    if channels % 2:
      raise InputError(
        f"`x` must have an even number of channels: expected D % 2 == 0, got D={channels}. "
        "Hint: choose a width whose gnConv branches sum to an even number."
      )
    half = channels // 2
    filter_re = self.param("filter_re", kernel_init, (*self.filter_size, half))
    filter_im = self.param("filter_im", kernel_init, (*self.filter_size, half))

    x = LayerNorm(self.dtype, name="pre_norm")(x)
    local = DepthwiseConv((3, 3), False, self.depthwise, self.dtype, name="dw")(x[..., :half])
    spectral = filter_spectrum(
      x[..., half:].astype(jnp.float32), filter_re, filter_im, self.implementation, self.precision
    )
    out = [local, spectral.astype(self.dtype)]
    if self.interleave:
      joined = jnp.stack(out, axis=-1).reshape(x.shape)  # [B, H, W, D]
    else:
      joined = jnp.concatenate(out, axis=-1)
    return LayerNorm(self.dtype, halved=not self.interleave, name="post_norm")(joined)


def check_implementation(name: str) -> None:
  """Raises `InputError` if there is no such implementation of the global filter."""
  if name not in get_args(GlobalFilter):
    raise unknown_name("global filter implementation", name, get_args(GlobalFilter))


def filter_spectrum(
  x: Float[Array, "B H W C"],
  filter_re: Float[Array, "h w C"],
  filter_im: Float[Array, "h w C"],
  implementation: str = "dft",
  precision: lax.Precision = lax.Precision.HIGHEST,
) -> Float[Array, "B H W C"]:
  """irfft2(rfft2(x) * filter), orthonormal, over H and W of every channel.

  The product is in general no spectrum of a real image. As in PyTorch and numpy,
  the inverse runs over H first and the real inverse over W then ignores the
  imaginary part of the first and (W even) last column.

  Args:
    x: real features, float32.
    filter_re: real part of the filter; resized where the grid differs.
    filter_im: imaginary part, likewise.
    implementation: `"dft"` or `"fft"`.
    precision: of the matrix products of `"dft"`.

  Returns:
    The filtered features, float32.
  """
  height, width = x.shape[1:3]
  filter_re, filter_im = (
    resize_filter(f, (height, width // 2 + 1)) for f in (filter_re, filter_im)
  )
  if implementation == "fft":
    spectrum = jnp.fft.rfft2(x, axes=(1, 2), norm="ortho")
    spectrum = spectrum * lax.complex(filter_re, filter_im)[None]
    # In two steps, so that no backend's two-dimensional inverse may assume symmetry.
    columns = jnp.fft.ifft(spectrum, axis=1, norm="ortho")
    return jnp.fft.irfft(columns, n=width, axis=2, norm="ortho")

  product = functools.partial(jnp.einsum, precision=precision)
  cos_h, sin_h = _dft(height)
  cos_w, sin_w = (m[:, : width // 2 + 1] for m in _dft(width))
  # Forward over W (real input), then over H: e^(-i t) = cos t - i sin t.
  re = product("bhwc,wv->bhvc", x, cos_w)
  im = -product("bhwc,wv->bhvc", x, sin_w)
  re, im = (
    product("bhvc,hu->buvc", re, cos_h) + product("bhvc,hu->buvc", im, sin_h),
    product("bhvc,hu->buvc", im, cos_h) - product("bhvc,hu->buvc", re, sin_h),
  )
  filter_re, filter_im = filter_re[None], filter_im[None]  # [1, H, W//2 + 1, C]
  re, im = re * filter_re - im * filter_im, re * filter_im + im * filter_re
  # Inverse over H, then over W, where each inner column stands for its mirror too.
  re, im = (
    product("buvc,uh->bhvc", re, cos_h) - product("buvc,uh->bhvc", im, sin_h),
    product("buvc,uh->bhvc", im, cos_h) + product("buvc,uh->bhvc", re, sin_h),
  )
  mirrored = _mirrored(width)
  return product("bhvc,vw->bhwc", re, (cos_w * mirrored).T) - product(
    "bhvc,vw->bhwc", im, (sin_w * mirrored).T
  )


def resize_filter(spectral: Float[Array, "h w C"], size: tuple[int, int]) -> Float[Array, "H W C"]:
  """Bilinear resize of a spectral filter, corners aligned, differentiable.

  Source: official `F.interpolate(..., mode="bilinear", align_corners=True)`;
  `jax.image.resize` places samples elsewhere and cannot stand in.

  Args:
    spectral: one part (real or imaginary) of a filter.
    size: the wanted (H, W).
  """
  if spectral.shape[:2] == size:
    return spectral
  rows = _interpolation(spectral.shape[0], size[0])
  columns = _interpolation(spectral.shape[1], size[1])
  return jnp.einsum("Hh,hwc,Ww->HWc", rows, spectral, columns, precision=lax.Precision.HIGHEST)


def _interpolation(source: int, target: int) -> np.ndarray:
  """[target, source] weights of linear interpolation with aligned corners."""
  positions = np.linspace(0, source - 1, target) if target > 1 else np.zeros(1)
  low = np.minimum(positions.astype(int), max(source - 2, 0))
  fraction = positions - low
  weights = np.zeros((target, source))
  weights[np.arange(target), low] = 1 - fraction
  weights[np.arange(target), np.minimum(low + 1, source - 1)] += fraction
  return weights.astype(np.float32)


def _dft(n: int) -> tuple[np.ndarray, np.ndarray]:
  """cos and sin of 2 pi j k / n, [n, n], divided by sqrt(n)."""
  angle = 2 * np.pi * (np.outer(np.arange(n), np.arange(n)) % n) / n
  scale = 1 / np.sqrt(n)
  return (np.cos(angle) * scale).astype(np.float32), (np.sin(angle) * scale).astype(np.float32)


def _mirrored(width: int) -> np.ndarray:
  """How often each column of the half spectrum occurs in the full one: 1 or 2."""
  count = np.full(width // 2 + 1, 2, np.float32)
  count[0] = 1
  if width % 2 == 0:
    count[-1] = 1
  return count
