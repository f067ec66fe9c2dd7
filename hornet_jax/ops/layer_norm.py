"""This module computes LayerNorm; only its input is kept for the backward pass."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from hornet_jax.ops.derivative import define_derivative

EPSILON = 1e-6
"""Added to the variance by default. Source: official hornet.py, every `LayerNorm`."""


def layer_norm(
  x: Float[Array, "*batch C"],
  scale: Float[Array | np.ndarray, "C"],
  bias: Float[Array | np.ndarray, "C"],
  epsilon: float = EPSILON,
) -> Float[Array, "*batch C"]:
  """Computes (x - mean) / sqrt(var + epsilon) * scale + bias over the last axis.

  The mean comes first and the variance from the differences to it. All arithmetic is float32,
  whatever the type of `x`; the result has the type of `x`. For the backward pass `x` is kept as it
  came: JAX's own derivative would keep the float32 differences, which take twice the memory where
  `x` is bfloat16, and which a TPU pads where the batch is small.
  """
  return _layer_norm(epsilon, x, jnp.asarray(scale), jnp.asarray(bias))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _layer_norm(epsilon: float, x: Array, scale: Array, bias: Array) -> Array:
  normalized, _ = _normalized(x, epsilon)
  return (normalized * _row(scale, x) + _row(bias, x)).astype(x.dtype)


def _normalized(x: Array, epsilon: float) -> tuple[Array, Array]:
  """Returns float32 features of mean 0 and variance 1, and the factor that made them so."""
  x = x.astype(jnp.float32)
  centered = x - jnp.mean(x, -1, keepdims=True)
  factor = lax.rsqrt(jnp.mean(jnp.square(centered), -1, keepdims=True) + epsilon)
  return centered * factor, factor


def _row(parameter: Array, x: Array) -> Array:
  """Reshapes a parameter [C] to as many axes as `x` has."""
  return jnp.expand_dims(parameter, tuple(range(x.ndim - 1)))


def _push(
  epsilon: float,
  arguments: tuple[Array, Array, Array],
  tangents: tuple[Array | None, Array | None, Array | None],
) -> Array:
  x, scale, _ = arguments
  dx, dscale, dbias = tangents
  normalized, factor = _normalized(x, epsilon)
  dy = jnp.zeros_like(normalized)
  if dx is not None:
    dx = dx.astype(jnp.float32)
    along = jnp.mean(dx * normalized, -1, keepdims=True)
    dnormalized = factor * (dx - jnp.mean(dx, -1, keepdims=True) - normalized * along)
    dy += dnormalized * _row(scale, x)
  if dscale is not None:
    dy += normalized * _row(dscale, x)
  if dbias is not None:
    dy += _row(dbias, x)
  return dy.astype(x.dtype)


def _pull(
  epsilon: float, arguments: tuple[Array, Array, Array], g: Array
) -> tuple[Array, Array, Array]:
  x, scale, bias = arguments
  normalized, factor = _normalized(x, epsilon)
  g = g.astype(jnp.float32)
  rows = tuple(range(g.ndim - 1))
  dnormalized = g * _row(scale, g)
  along = jnp.mean(dnormalized * normalized, -1, keepdims=True)
  dx = factor * (dnormalized - jnp.mean(dnormalized, -1, keepdims=True) - normalized * along)
  dscale, dbias = jnp.sum(g * normalized, rows), jnp.sum(g, rows)
  return dx.astype(x.dtype), dscale.astype(scale.dtype), dbias.astype(bias.dtype)


define_derivative(_layer_norm, _push, _pull)
