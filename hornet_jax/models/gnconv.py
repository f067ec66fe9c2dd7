"""gnConv: the recursive gated convolution."""

import re
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from hornet_jax.errors import InputError
from hornet_jax.models.dense import Dense
from hornet_jax.models.global_filter import GlobalLocalFilter
from hornet_jax.models.layers import DepthwiseConv

SpatialFilter = str | Sequence[int]


def gnconv_dims(dim: int, order: int) -> list[int]:
  """Widths of the branches, C / 2^(n-1), ..., C / 2, C.

  Args:
    dim: C, the width of the gnConv.
    order: n >= 1, the order of spatial interaction.

  Raises:
    InputError: if `order` < 1 or C is not a multiple of 2^(n-1).
  """
  if order < 1:
    raise InputError(f"`order` must be at least 1: expected order >= 1, got {order}.")
  if dim < 1 or dim % 2 ** (order - 1):
    raise InputError(
      f"`dim` must be a positive multiple of 2^(order-1): expected a multiple of "
      f"{2 ** (order - 1)} for order {order}, got {dim}. Hint: widen or lower the order."
    )
  return [dim // 2**k for k in reversed(range(order))]


def kernel_size(spatial_filter: str) -> tuple[int, int]:
  """(kh, kw) of a filter name such as `"7x7"`; both sides odd."""
  match = re.fullmatch(r"(\d+)x(\d+)", spatial_filter)
  if not match or not all(int(side) % 2 for side in match.groups()):
    raise InputError(
      f"`filter` must be a kernel with odd sides or a spectral size: expected such as "
      f"'7x7' or (14, 8), got {spatial_filter!r}."
    )
  return int(match[1]), int(match[2])


class GnConv(nn.Module):
  """Recursive gated convolution of order n.

  p_0, q_0 .. q_{n-1} = split(phi_in(x)), widths C_0 and C_0 .. C_{n-1}
  q                   = s * f(q)                    one filter over all of q
  p_{k+1}             = g_k(p_k) * q_k              g_0 = identity
  out                 = phi_out(p_n)

  with C_k = C / 2^(n-1-k), f the spatial filter, s = 1 / alpha and g_k 1x1
  convolutions that double the width. No activation, no norm.

  Source: arXiv 2207.14284 section 3.1, equations 3-6; official hornet.py, `gnconv`.
  Deviation: input and output may be of other widths than C; the official module has
  all three equal.

  Attributes:
    dim: C, the width inside; a multiple of 2^(order-1).
    order: n >= 1.
    filter: a depthwise kernel such as `"7x7"`, or the (h, w) of a spectral filter.
    scale: s; 1/3 in every model of the paper.
    out_dim: width of the output; None for C.
    global_filter: for spectral filters, see `hornet_jax.ops.fourier`.
    depthwise: see `hornet_jax.ops.depthwise_conv`.
    dtype: type of the computation; parameters are float32.
    gradient_sum: see `Dense`.
    interleave: whether a global filter interleaves its halves. Else the kernels behind it are
      reordered, which is the same function and cheaper, unless kernels lie in parts on the
      devices: their reordered gradients would be summed whole before they are scattered.
  """

  dim: int
  order: int = 5
  filter: SpatialFilter = "7x7"
  scale: float = 1.0
  out_dim: int | None = None
  global_filter: str = "dft"
  depthwise: str = "auto"
  dtype: DTypeLike = jnp.float32
  gradient_sum: str = "compute"
  interleave: bool = False

  @nn.compact
  def __call__(self, x: Float[Array, "B H W D"]) -> Float[Array, "B H W E"]:
    """Applies the recursion to features of any width D; returns width `out_dim`.

    Raises:
      InputError: if the widths do not divide or `filter` is malformed.
    """
    dims = gnconv_dims(self.dim, self.order)
    if not isinstance(self.filter, str) and sum(dims) % 2:
      raise InputError(
        f"`dim` must give an even sum of branch widths for a global filter: expected "
        f"sum({dims}) even, got {sum(dims)}. Hint: use a multiple of {2**self.order}."
      )
    halved = not (isinstance(self.filter, str) or self.interleave)  # p as the filter's result
    projected = self.linear(2 * self.dim, "proj_in", halved_outputs=dims[0] * halved)(x)
    p, q = jnp.split(projected, [dims[0]], axis=-1)  # [B, H, W, C_0], [B, H, W, sum(dims)]
    q = self.spatial_filter()(q) * self.scale
    first, *rest = _split_halves(q, dims) if halved else _split(q, dims)
    p = p * first
    for k, gate in enumerate(rest):
      width = dims[k + 1]
      pws = self.linear(width, f"pws_{k}", halved_inputs=halved, halved_outputs=width * halved)
      p = pws(p) * gate  # [B, H, W, C_{k+1}]
    return self.linear(self.out_dim or self.dim, "proj_out", halved_inputs=halved)(p)

  def linear(self, features: int, name: str, **orders: int) -> Dense:
    """A 1x1 convolution."""
    return Dense(features, self.dtype, self.gradient_sum, **orders, name=name)

  def spatial_filter(self) -> nn.Module:
    """f: the depthwise convolution or the global filter, under the name `dwconv`."""
    if isinstance(self.filter, str):
      size = kernel_size(self.filter)
      return DepthwiseConv(size, True, self.depthwise, self.dtype, name="dwconv")
    if len(self.filter) != 2 or min(self.filter) < 1:
      raise InputError(
        f"`filter` must be a kernel or a spectral size: expected such as '7x7' or (14, 8), got "
        f"{self.filter!r}."
      )
    return GlobalLocalFilter(
      filter_size=(self.filter[0], self.filter[1]),
      interleave=self.interleave,
      implementation=self.global_filter,
      depthwise=self.depthwise,
      dtype=self.dtype,
      name="dwconv",
    )


def _split(q: Array, widths: Sequence[int]) -> list[Array]:
  """The channels in parts of these widths."""
  return jnp.split(q, np.cumsum(widths)[:-1].tolist(), axis=-1)


def _split_halves(q: Array, widths: Sequence[int]) -> list[Array]:
  """`_split` of channels in the order of `halves`, each part in that order again."""
  half_widths = [width // 2 for width in widths]
  pairs = zip(*(_split(half, half_widths) for half in jnp.split(q, 2, axis=-1)), strict=True)
  return [jnp.concatenate(pair, axis=-1) for pair in pairs]
