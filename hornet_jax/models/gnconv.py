"""gnConv is the recursive gated convolution."""

import functools

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from hornet_jax.errors import InputError
from hornet_jax.models.dense import Dense, split_channels
from hornet_jax.models.execution import Execution
from hornet_jax.models.spatial_filter import SpatialFilter, make_filter


def gnconv_dims(dim: int, order: int) -> list[int]:
  """Gives the widths of the branches, C / 2^(n-1), ..., C / 2, C.

  Args:
    dim: width C of the gnConv.
    order: order n >= 1 of spatial interaction.

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


class GnConv(nn.Module):
  """A `GnConv` is the recursive gated convolution of order n.

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
    dim: width C inside, a multiple of 2^(order-1); None for that of the input.
    order: order n >= 1.
    filter: spatial filter f: `"7x7"` or another kernel size, a spectral size (h, w), or a
      constructor, see `SpatialFilter`.
    scale: factor s on the output of f; 1/3 in every model of the paper.
    out_dim: width of the output; None for C.
    execution: the way in which it is computed; parameters are float32.
  """

  dim: int | None = None
  order: int = 5
  filter: SpatialFilter = "7x7"
  scale: float = 1.0
  out_dim: int | None = None
  execution: Execution = Execution()

  @nn.compact
  def __call__(self, x: Float[Array, "B H W D"]) -> Float[Array, "B H W E"]:
    """Applies the recursion to features of any width D; returns width `out_dim`.

    Raises:
      InputError: if the widths do not divide or `filter` is malformed.
    """
    dim = x.shape[-1] if self.dim is None else self.dim
    dims = gnconv_dims(dim, self.order)
    f = make_filter(self.filter, self.execution, "dwconv")
    # Where f leaves its channels in halves, the kernels around it are reordered to match.
    halved = getattr(f, "halved", False)
    if halved and dims[0] % 2:
      raise InputError(
        f"`dim` must give an even sum of branch widths for a global filter: expected "
        f"sum({dims}) even, got {sum(dims)}. Hint: use a multiple of {2**self.order}."
      )
    linear = functools.partial(Dense, execution=self.execution)

    proj_in = linear(2 * dim, halved_outputs=dims[0] * halved, name="proj_in")
    p, q = jnp.split(proj_in(x), [dims[0]], axis=-1)  # [B, H, W, C_0], [B, H, W, sum(dims)]
    first, *rest = split_channels(f(q) * self.scale, dims, halved)
    p = p * first
    for k, (gate, width) in enumerate(zip(rest, dims[1:], strict=True)):
      pws = linear(width, halved_inputs=halved, halved_outputs=width * halved, name=f"pws_{k}")
      p = pws(p) * gate  # [B, H, W, C_{k+1}]
    return linear(self.out_dim or dim, halved_inputs=halved, name="proj_out")(p)
