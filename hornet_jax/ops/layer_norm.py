"""LayerNorm that keeps its input alone for the backward pass."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

EPSILON = 1e-6
"""Added to the variance. Source: official hornet.py, every `LayerNorm`."""


@jax.custom_vjp
def layer_norm(
  x: Float[Array, "*batch C"], scale: Float[Array, "C"], bias: Float[Array, "C"]
) -> Float[Array, "*batch C"]:
  """(x - mean) / sqrt(var + eps) * scale + bias over the last axis.

  Statistics, of two passes, and arithmetic are float32 whatever `x` is, the result has the type
  of `x`. Kept for the backward pass is `x` as it came: differentiated as it stands, the float32
  differences would be kept, twice the memory in bfloat16, and on a TPU they are padded where the
  batch is small.
  """
  normalized, _ = _normalized(x)
  return (normalized * _row(scale, x) + _row(bias, x)).astype(x.dtype)


def _normalized(x: Array) -> tuple[Array, Array]:
  """The float32 features of mean 0 and variance 1, and what they were multiplied by."""
  x = x.astype(jnp.float32)
  centered = x - jnp.mean(x, -1, keepdims=True)
  factor = lax.rsqrt(jnp.mean(jnp.square(centered), -1, keepdims=True) + EPSILON)
  return centered * factor, factor


def _row(parameter: Array, x: Array) -> Array:
  """[C] with as many axes as `x`."""
  return jnp.expand_dims(parameter, tuple(range(x.ndim - 1)))


def _forward_rule(x: Array, scale: Array, bias: Array) -> tuple[Array, tuple[Array, Array, Array]]:
  return layer_norm(x, scale, bias), (x, scale, bias)


def _backward_rule(residuals: tuple[Array, Array, Array], g: Array) -> tuple[Array, Array, Array]:
  x, scale, bias = residuals
  normalized, factor = _normalized(x)
  g = g.astype(jnp.float32)
  rows = tuple(range(g.ndim - 1))
  dnormalized = g * _row(scale, g)
  along = jnp.mean(dnormalized * normalized, -1, keepdims=True)
  dx = factor * (dnormalized - jnp.mean(dnormalized, -1, keepdims=True) - normalized * along)
  dscale, dbias = jnp.sum(g * normalized, rows), jnp.sum(g, rows)
  return dx.astype(x.dtype), dscale.astype(scale.dtype), dbias.astype(bias.dtype)


layer_norm.defvjp(_forward_rule, _backward_rule)
