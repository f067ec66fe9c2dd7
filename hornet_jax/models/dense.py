"""Linear layers, whose outputs can be kept and whose gradients can be summed precisely."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Array

from hornet_jax.errors import unknown_name

# Source: official hornet.py, `_init_weights`: trunc_normal_(std=0.02) whose cut at
# an absolute +-2 lies 100 standard deviations out, so a plain normal.
kernel_init = nn.initializers.normal(0.02)

DENSE_OUTPUT = "dense_output"
"""The name by which a remat policy knows what `dense` computes."""

GradientSum = Literal["compute", "float32"]


def dense(
  features: int, dtype: DTypeLike, name: str, gradient_sum: str = "compute"
) -> Callable[[Array], Array]:
  """A 1x1 convolution of channels-last features, with bias; to be called in a compact method.

  Args:
    features: width of the result.
    dtype: type of the computation.
    name: of the module.
    gradient_sum: type of the kernel's gradient, and so of its sum over rows and devices:
      `"compute"` for `dtype`, or `"float32"`.
  """
  special: dict[str, Any] = {}
  if gradient_sum == "float32":
    special = {"promote_dtype": _promote_inputs, "dot_general": _dot}
  layer = nn.Dense(features, dtype=dtype, kernel_init=kernel_init, name=name, **special)
  return lambda x: checkpoint_name(layer(x), DENSE_OUTPUT)


def check_gradient_sum(name: str) -> None:
  """Raises `InputError` if there is no such type of the sum."""
  if name not in get_args(GradientSum):
    raise unknown_name("gradient_sum", name, get_args(GradientSum))


def _promote_inputs(
  inputs: Array, kernel: Array, bias: Array, *, dtype: DTypeLike
) -> tuple[Array, Array, Array]:
  return inputs.astype(dtype), kernel, bias.astype(dtype)


def _dot(inputs: Array, kernel: Array, dimensions: Any, precision: Any) -> Array:
  """`lax.dot_general` as `nn.Dense` calls it: the last axis of the inputs with the first."""
  return _matmul(inputs, kernel)


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
