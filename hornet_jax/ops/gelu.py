"""This module computes the exact GELU; only its input is kept for the backward pass."""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from hornet_jax.ops.derivative import define_derivative


@jax.custom_jvp
def gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
  """Computes x Phi(x), Phi the normal distribution, in float32; returns the type of `x`."""
  wide = x.astype(jnp.float32)
  return (wide * _distribution(wide)).astype(x.dtype)


def _distribution(x: Array) -> Array:
  return 0.5 * (1 + lax.erf(x * math.sqrt(0.5)))


def _push(arguments: tuple[Array], tangents: tuple[Array]) -> Array:
  (x,), (dx,) = arguments, tangents
  wide = x.astype(jnp.float32)
  density = jnp.exp(-0.5 * jnp.square(wide)) * (1 / math.sqrt(2 * math.pi))
  slope = _distribution(wide) + wide * density
  return (dx.astype(jnp.float32) * slope).astype(x.dtype)


def _pull(arguments: tuple[Array], g: Array) -> tuple[Array]:
  return (_push(arguments, (g,)),)  # a map that is its own transpose


define_derivative(gelu, _push, _pull)
