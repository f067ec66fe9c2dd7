"""This module computes depthwise convolutions and their gradients fast on every platform.

XLA lowers a grouped convolution on CPU to a loop that is tens of times slower
than the arithmetic needs. There the convolution is written as shifted
multiply-adds, one per tap, which XLA fuses into a single pass. On TPU and GPU the
grouped convolution is the fast form, but for one gradient on GPU. The choice is
made when a computation is lowered for a platform, so one program can be compiled
for several.
"""

import functools
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from hornet_jax.errors import InputError, unknown_name
from hornet_jax.ops.derivative import define_derivative, push_bilinear

Implementation = Literal["auto", "shift", "grouped"]


def depthwise_conv(
  x: Float[Array, "B H W C"],
  kernel: Float[Array, "kh kw 1 C"],
  implementation: str = "auto",
) -> Float[Array, "B H W C"]:
  """Convolves every channel with its own filter; stride 1, zero padding, same size.

  y[b, h, w, c] = sum_ij x[b, h + i - kh // 2, w + j - kw // 2, c] * kernel[i, j, 0, c]

  The result has the type of `x`. `"shift"` sums products in float32 whatever that type
  is; `"grouped"` as the platform's convolution does.

  Args:
    x: features.
    kernel: filters, one per channel, odd height and width, same type as `x`.
    implementation: method: `"shift"` (multiply-adds), `"grouped"` (`lax` convolution) or
      `"auto"`: `"shift"` on CPU, `"grouped"` elsewhere, on GPU with matrix products for the
      gradient of a kernel that covers the image. All give the same numbers to float32
      rounding, forward and backward.

  Returns:
    The filtered features.

  Raises:
    InputError: if a filter side is even or the implementation is unknown.
  """
  if implementation not in get_args(Implementation):
    raise unknown_name("depthwise implementation", implementation, get_args(Implementation))
  kh, kw = kernel.shape[:2]
  if kh % 2 == 0 or kw % 2 == 0:
    raise InputError(f"`kernel` must have odd sides: expected kh, kw odd, got {kh}x{kw}.")
  return _depthwise_conv(implementation, x, kernel)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _depthwise_conv(implementation: str, x: Array, kernel: Array) -> Array:
  return _choose(implementation, _shift_forward, _grouped_forward, x, kernel)


def _pull(implementation: str, arguments: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
  x, kernel = arguments
  return _choose(
    implementation, _shift_backward, _grouped_backward, x, kernel, g, cuda=_gpu_backward
  )


define_derivative(_depthwise_conv, push_bilinear(_depthwise_conv), _pull)


def _choose(implementation, shift, grouped, *args, cuda=None):
  if implementation == "shift":
    return shift(*args)
  if implementation == "grouped":
    return grouped(*args)
  return lax.platform_dependent(*args, cpu=shift, cuda=cuda or grouped, default=grouped)


def _pad(x: Array, kh: int, kw: int) -> Array:
  return jnp.pad(x, ((0, 0), (kh // 2, kh // 2), (kw // 2, kw // 2), (0, 0)))


def _shift_forward(x: Array, kernel: Array) -> Array:
  kh, kw = kernel.shape[:2]
  _, h, w, _ = x.shape
  padded = _pad(x, kh, kw).astype(jnp.float32)
  taps = kernel.astype(jnp.float32)[:, :, None, None]  # [kh, kw, 1, 1, 1, C]
  y = jnp.zeros(x.shape, jnp.float32)
  for i in range(kh):
    for j in range(kw):
      y += padded[:, i : i + h, j : j + w] * taps[i, j]
  return y.astype(x.dtype)


def _shift_backward(x: Array, kernel: Array, g: Array) -> tuple[Array, Array]:
  dkernel = _shift_weight_gradient(kernel.shape[:2], x, g)
  # The transpose of a correlation is the correlation with the flipped filter.
  return _depthwise_conv("shift", g, kernel[::-1, ::-1]), dkernel


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _shift_weight_gradient(size: tuple[int, int], x: Array, g: Array) -> Array:
  kh, kw = size
  padded = _pad(x, kh, kw)
  g32 = g.astype(jnp.float32)

  b, h, w, c = g.shape
  ones = jnp.ones((1, b * h), jnp.float32)

  def tap_gradient(tap):
    window = lax.dynamic_slice(padded, (0, tap // kw, tap % kw, 0), g.shape)
    products = window.astype(jnp.float32) * g32
    # Sums as products with ones: XLA's loops over rows that are not last are slower than that.
    columns = jnp.matmul(ones, products.reshape(b * h, w * c), precision=lax.Precision.HIGHEST)
    return jnp.sum(columns.reshape(w, c), axis=0)

  # A loop over taps: unrolled, XLA fuses the 49 reductions into one that is
  # several times slower.
  return lax.map(tap_gradient, jnp.arange(kh * kw)).reshape(kh, kw, 1, c).astype(x.dtype)


def _pull_weight_gradient(
  size: tuple[int, int], arguments: tuple[Array, Array], g_kernel: Array
) -> tuple[Array, Array]:
  del size
  x, g = arguments
  flipped = g_kernel[::-1, ::-1]
  return _depthwise_conv("shift", g, flipped), _depthwise_conv("shift", x, g_kernel)


define_derivative(
  _shift_weight_gradient, push_bilinear(_shift_weight_gradient), _pull_weight_gradient
)


def _grouped_forward(x: Array, kernel: Array) -> Array:
  return lax.conv_general_dilated(
    x,
    kernel,
    window_strides=(1, 1),
    padding="SAME",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    feature_group_count=x.shape[-1],
  )


def _grouped_backward(x: Array, kernel: Array, g: Array) -> tuple[Array, Array]:
  return jax.vjp(_grouped_forward, x, kernel)[1](g)


def _gpu_backward(x: Array, kernel: Array, g: Array) -> tuple[Array, Array]:
  kh, kw = kernel.shape[:2]
  _, h, w, _ = x.shape
  if h > kh or w > kw:
    return _grouped_backward(x, kernel, g)
  # cuDNN's weight gradient takes seven times as long where the kernel covers the image.
  return _grouped_forward(g, kernel[::-1, ::-1]), _diagonal_weight_gradient(x, kernel, g)


def _diagonal_weight_gradient(x: Array, kernel: Array, g: Array) -> Array:
  """Computes the kernel's gradient by products of whole rows: a tap sums a product's diagonal."""
  kh, kw = kernel.shape[:2]
  _, h, w, _ = x.shape
  padded = _pad(x, kh, kw)
  rows = jnp.stack([padded[:, i : i + h] for i in range(kh)])
  products = jnp.einsum(
    "ibhuc,bhwc->iuwc",  # u: column of the padded image, w: of the gradient
    rows,
    g,
    preferred_element_type=jnp.float32,
    precision=lax.Precision.HIGHEST,
  )
  columns = np.arange(w)
  taps = [jnp.sum(products[:, columns + j, columns], axis=1) for j in range(kw)]  # [kh, C]
  return jnp.stack(taps, axis=1)[:, :, None].astype(kernel.dtype)
