"""This module computes LayerNorm; only its input is kept for the backward pass."""

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
  """Computes (x - mean) / sqrt(var + eps) * scale + bias over the last axis.

  The mean comes first and the variance from the differences to it. All arithmetic is float32,
  whatever the type of `x`; the result has the type of `x`. For the backward pass `x` is kept as it
  came: JAX's own derivative would keep the float32 differences, which take twice the memory where
  `x` is bfloat16, and which a TPU pads where the batch is small.
  """
  normalized, _ = _normalized(x)
  return (normalized * _row(scale, x) + _row(bias, x)).astype(x.dtype)


def _normalized(x: Array) -> tuple[Array, Array]:
  """Returns float32 features of mean 0 and variance 1, and the factor that made them so."""
  x = x.astype(jnp.float32)
  centered = x - jnp.mean(x, -1, keepdims=True)
  factor = lax.rsqrt(jnp.mean(jnp.square(centered), -1, keepdims=True) + EPSILON)
  return centered * factor, factor


def _row(parameter: Array, x: Array) -> Array:
  """Reshapes a parameter [C] to as many axes as `x` has."""
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
