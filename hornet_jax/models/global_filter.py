"""The global filter: half of the channels local, half filtered in the spectrum."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from hornet_jax.errors import InputError
from hornet_jax.models.dense import kernel_init
from hornet_jax.models.layers import DepthwiseConv, LayerNorm
from hornet_jax.ops.fourier import check_fourier, irfft2, rfft2


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
    implementation: of the Fourier transforms, see `hornet_jax.ops.fourier`.
    depthwise: implementation of the 3x3 convolution, see `depthwise_conv`.
    interleave: whether the result has the official order of channels. Else it is that of
      `halves`, local before global, which spares moving every feature; the parameters of
      post_norm keep the official order.
    dtype: type of the computation around the spectrum.
  """

  filter_size: tuple[int, int]
  implementation: str = "dft"
  depthwise: str = "auto"
  interleave: bool = True
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "B H W D"]) -> Float[Array, "B H W D"]:
    check_fourier(self.implementation)
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
      x[..., half:].astype(jnp.float32), filter_re, filter_im, self.implementation
    )
    out = [local, spectral.astype(self.dtype)]
    if self.interleave:
      joined = jnp.stack(out, axis=-1).reshape(x.shape)  # [B, H, W, D]
    else:
      joined = jnp.concatenate(out, axis=-1)
    return LayerNorm(self.dtype, halved=not self.interleave, name="post_norm")(joined)


def filter_spectrum(
  x: Float[Array, "B H W C"],
  filter_re: Float[Array, "h w C"],
  filter_im: Float[Array, "h w C"],
  implementation: str = "dft",
) -> Float[Array, "B H W C"]:
  """irfft2(rfft2(x) * filter), orthonormal, over H and W of every channel.

  The product is in general no spectrum of a real image, see `irfft2`.

  Args:
    x: real features, float32.
    filter_re: real part of the filter; resized where the grid differs.
    filter_im: imaginary part, likewise.
    implementation: of the transforms, see `hornet_jax.ops.fourier`.

  Returns:
    The filtered features, float32.
  """
  height, width = x.shape[1:3]
  filter_re, filter_im = (
    resize_filter(f, (height, width // 2 + 1)) for f in (filter_re, filter_im)
  )
  re, im = rfft2(x, implementation)
  filter_re, filter_im = filter_re[None], filter_im[None]  # [1, H, W//2 + 1, C]
  filtered = re * filter_re - im * filter_im, re * filter_im + im * filter_re
  return irfft2(filtered, width, implementation)


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
