"""The global filter convolves half of the channels and filters the other half's spectrum."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from hornet_jax.errors import InputError
from hornet_jax.models.dense import kernel_init
from hornet_jax.models.execution import Execution
from hornet_jax.models.layers import DepthwiseConv, LayerNorm
from hornet_jax.ops.fourier import irfft2, rfft2


class GlobalLocalFilter(nn.Module):
  """A `GlobalLocalFilter` joins a 3x3 depthwise convolution and a learned 2-D spectral filter.

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
  [h, w, D/2]. In bfloat16 the spectral half is rounded before post_norm.

  Attributes:
    filter_size: stored grid (h, w); w = W // 2 + 1 for features of width W.
    halved: whether the result has the local half before the global one, the order of `halves`,
      which is cheaper than to interleave them; the parameters of post_norm stay interleaved.
    execution: the way in which it is computed; the spectrum is float32 always.
  """

  filter_size: tuple[int, int]
  halved: bool = False
  execution: Execution = Execution()

  @nn.compact
  def __call__(self, x: Float[Array, "B H W D"]) -> Float[Array, "B H W D"]:
    channels = x.shape[-1]
    if channels % 2:
      raise InputError(
        f"`x` must have an even number of channels: expected D % 2 == 0, got D={channels}. "
        "Hint: f of a gnConv of order n needs a width that is a multiple of 2^n."
      )
    half = channels // 2
    filter_re = self.param("filter_re", kernel_init, (*self.filter_size, half))
    filter_im = self.param("filter_im", kernel_init, (*self.filter_size, half))

    x = LayerNorm(self.execution, name="pre_norm")(x)
    local = DepthwiseConv((3, 3), use_bias=False, execution=self.execution, name="dw")(
      x[..., :half]
    )
    spectral = filter_spectrum(
      x[..., half:].astype(jnp.float32), filter_re, filter_im, self.execution.fourier
    )
    out = [local, spectral.astype(self.execution.dtype)]
    if self.halved:
      joined = jnp.concatenate(out, axis=-1)
    else:
      joined = jnp.stack(out, axis=-1).reshape(x.shape)  # [B, H, W, D]
    return LayerNorm(self.execution, halved=self.halved, name="post_norm")(joined)


def filter_spectrum(
  x: Float[Array, "B H W C"],
  filter_re: Float[Array, "h w C"],
  filter_im: Float[Array, "h w C"],
  implementation: str = "dft",
) -> Float[Array, "B H W C"]:
  """Computes irfft2(rfft2(x) * filter), orthonormal, over H and W of every channel.

  The product is in general no spectrum of a real image; `irfft2` tells what becomes of that.

  Args:
    x: real features, float32.
    filter_re: real part of the filter, resized to [H, W // 2 + 1, C] where its grid is another.
    filter_im: imaginary part of the filter, resized likewise.
    implementation: way to compute the transforms, see `hornet_jax.ops.fourier`.

  Returns:
    The filtered features, float32.
  """
  with jax.named_scope("fourier"):  # by which its products are told from those of linear layers
    height, width = x.shape[1:3]
    filter_re, filter_im = (
      resize_filter(f, (height, width // 2 + 1)) for f in (filter_re, filter_im)
    )
    re, im = rfft2(x, implementation)
    filter_re, filter_im = filter_re[None], filter_im[None]  # [1, H, W//2 + 1, C]
    filtered = re * filter_re - im * filter_im, re * filter_im + im * filter_re
    return irfft2(filtered, width, implementation)


def resize_filter(spectral: Float[Array, "h w C"], size: tuple[int, int]) -> Float[Array, "H W C"]:
  """Resizes a spectral filter bilinearly, with aligned corners; gradients flow through it.

  Source: official `F.interpolate(..., mode="bilinear", align_corners=True)`;
  `jax.image.resize` places samples elsewhere and cannot stand in.

  Args:
    spectral: one part (real or imaginary) of a filter.
    size: wanted height and width (H, W) of the filter.
  """
  if spectral.shape[:2] == size:
    return spectral
  rows = _interpolation(spectral.shape[0], size[0])
  columns = _interpolation(spectral.shape[1], size[1])
  return jnp.einsum("Hh,hwc,Ww->HWc", rows, spectral, columns, precision=lax.Precision.HIGHEST)


def _interpolation(source: int, target: int) -> np.ndarray:
  """Gives the [target, source] weights of linear interpolation with aligned corners."""
  positions = np.linspace(0, source - 1, target) if target > 1 else np.zeros(1)
  low = np.minimum(positions.astype(int), max(source - 2, 0))
  fraction = positions - low
  weights = np.zeros((target, source))
  weights[np.arange(target), low] = 1 - fraction
  weights[np.arange(target), np.minimum(low + 1, source - 1)] += fraction
  return weights.astype(np.float32)
