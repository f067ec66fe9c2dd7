"""The linear layer of all models can keep its output and sum its gradients in float32."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from hornet_jax.models.execution import DENSE_OUTPUT, Execution
from hornet_jax.ops.derivative import define_derivative, push_bilinear

# Source: official hornet.py, `_init_weights`: trunc_normal_(std=0.02) whose cut at
# an absolute +-2 lies 100 standard deviations out, so a plain normal.
kernel_init = nn.initializers.normal(0.02)


class Dense(nn.Module):
  """A `Dense` layer is a 1x1 convolution of channels-last features.

  Channels may be asked for in the order of `halves` (even ones first, then odd ones): then the
  small kernel is reordered instead of the features. The stored parameters keep their own order.

  Attributes:
    features: width of the result.
    execution: the way in which it is computed.
    use_bias: whether a bias is added.
    halved_inputs: whether the input's channels come in the order of `halves`.
    halved_outputs: number of the result's channels, from the first on, that leave in that order.
  """

  features: int
  execution: Execution = Execution()
  use_bias: bool = True
  halved_inputs: bool = False
  halved_outputs: int = 0

  @nn.compact
  def __call__(self, x: Float[Array, "*batch D"]) -> Float[Array, "*batch E"]:
    kernel = self.param("kernel", kernel_init, (x.shape[-1], self.features))
    dtype = self.execution.dtype
    in_float32 = self.execution.gradient_sum == "float32"
    if not in_float32:
      kernel = kernel.astype(dtype)
    if self.halved_inputs:
      kernel = halves(kernel, 0)
    if self.halved_outputs:
      kernel = self._reorder_outputs(kernel)
    x = x.astype(dtype)
    y = _matmul(x, kernel) if in_float32 else x @ kernel
    if self.use_bias:
      bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(dtype)
      if self.halved_outputs:
        bias = self._reorder_outputs(bias)
      y += jnp.expand_dims(bias, tuple(range(y.ndim - 1)))
    return checkpoint_name(y, DENSE_OUTPUT)

  def _reorder_outputs(self, parameter: Array) -> Array:
    first, rest = jnp.split(parameter, [self.halved_outputs], axis=-1)
    return jnp.concatenate([halves(first, -1), rest], axis=-1)


def halves(x: Array, axis: int) -> Array:
  """Reorders an axis of even length: first even indices, then odd ones."""
  axis %= x.ndim
  pairs = x.reshape(*x.shape[:axis], x.shape[axis] // 2, 2, *x.shape[axis + 1 :])
  return jnp.moveaxis(pairs, axis + 1, axis).reshape(x.shape)


def split_channels(x: Array, widths: Sequence[int], halved: bool = False) -> list[Array]:
  """Splits the channels into parts of these widths.

  Args:
    x: features [..., C].
    widths: widths of the parts, with sum C; all even if `halved`.
    halved: whether `x` has the order of `halves`; each part is then in that order again.
  """

  def split(x: Array, widths: Sequence[int]) -> list[Array]:
    return jnp.split(x, np.cumsum(widths)[:-1].tolist(), axis=-1)

  if not halved:
    return split(x, widths)
  half_widths = [width // 2 for width in widths]
  pairs = zip(*(split(half, half_widths) for half in jnp.split(x, 2, axis=-1)), strict=True)
  return [jnp.concatenate(pair, axis=-1) for pair in pairs]


@jax.custom_jvp
def _matmul(inputs: Array, kernel: Array) -> Array:
  return inputs @ kernel.astype(inputs.dtype)


def _pull(arguments: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
  inputs, kernel = arguments
  rows = tuple(range(inputs.ndim - 1))
  dkernel = lax.dot_general(
    inputs, g, ((rows, rows), ((), ())), preferred_element_type=jnp.float32
  )  # [in, out]
  return g @ kernel.astype(g.dtype).T, dkernel.astype(kernel.dtype)


define_derivative(_matmul, push_bilinear(_matmul), _pull)
