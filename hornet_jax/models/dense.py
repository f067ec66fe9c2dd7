"""Linear layers, whose outputs can be kept and whose gradients can be summed precisely."""

from typing import Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from hornet_jax.errors import unknown_name

# Source: official hornet.py, `_init_weights`: trunc_normal_(std=0.02) whose cut at
# an absolute +-2 lies 100 standard deviations out, so a plain normal.
kernel_init = nn.initializers.normal(0.02)

DENSE_OUTPUT = "dense_output"
"""The name by which a remat policy knows what `Dense` computes."""

GradientSum = Literal["compute", "float32"]


class Dense(nn.Module):
  """A 1x1 convolution of channels-last features, with bias.

  Channels may be asked for in the order of `halves`: then the kernel is reordered, which is
  small, instead of the features. The parameters keep their own order.

  Attributes:
    features: width of the result.
    dtype: type of the computation.
    gradient_sum: type of the kernel's gradient, and so of its sum over rows and devices:
      `"compute"` for `dtype`, or `"float32"`.
    halved_inputs: whether the input comes in the order of `halves`.
    halved_outputs: how many of the result's channels, from the first on, leave in that order.
  """

  features: int
  dtype: DTypeLike = jnp.float32
  gradient_sum: str = "compute"
  halved_inputs: bool = False
  halved_outputs: int = 0

  @nn.compact
  def __call__(self, x: Float[Array, "*batch D"]) -> Float[Array, "*batch E"]:
    kernel = self.param("kernel", kernel_init, (x.shape[-1], self.features))
    bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
    in_float32 = self.gradient_sum == "float32"
    if not in_float32:
      kernel = kernel.astype(self.dtype)
    if self.halved_inputs:
      kernel = halves(kernel, 0)
    if self.halved_outputs:
      kernel, bias = (self._reorder_outputs(parameter) for parameter in (kernel, bias))
    x = x.astype(self.dtype)
    y = _matmul(x, kernel) if in_float32 else x @ kernel
    y += jnp.expand_dims(bias, tuple(range(y.ndim - 1)))
    return checkpoint_name(y, DENSE_OUTPUT)

  def _reorder_outputs(self, parameter: Array) -> Array:
    first, rest = jnp.split(parameter, [self.halved_outputs], axis=-1)
    return jnp.concatenate([halves(first, -1), rest], axis=-1)


def halves(x: Array, axis: int) -> Array:
  """Along an axis of even length: first those with an even index, then those with an odd one."""
  axis %= x.ndim
  pairs = x.reshape(*x.shape[:axis], x.shape[axis] // 2, 2, *x.shape[axis + 1 :])
  return jnp.moveaxis(pairs, axis + 1, axis).reshape(x.shape)


def check_gradient_sum(name: str) -> None:
  """Raises `InputError` if there is no such type of the sum."""
  if name not in get_args(GradientSum):
    raise unknown_name("gradient_sum", name, get_args(GradientSum))


@jax.custom_vjp
def _matmul(inputs: Array, kernel: Array) -> Array:
  return inputs @ kernel.astype(inputs.dtype)


def _forward_rule(inputs: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
  return _matmul(inputs, kernel), (inputs, kernel)


def _backward_rule(residuals: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
  inputs, kernel = residuals
  rows = tuple(range(inputs.ndim - 1))
  dkernel = lax.dot_general(
    inputs, g, ((rows, rows), ((), ())), preferred_element_type=jnp.float32
  )  # [in, out]
  return g @ kernel.astype(g.dtype).T, dkernel.astype(kernel.dtype)


_matmul.defvjp(_forward_rule, _backward_rule)
