"""This module computes the exact GELU; only its input is kept for the backward pass."""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


@jax.custom_vjp
def gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
  """Computes x Phi(x), Phi the normal distribution, in float32; returns the type of `x`."""
  wide = x.astype(jnp.float32)
  return (wide * _distribution(wide)).astype(x.dtype)


def _distribution(x: Array) -> Array:
  return 0.5 * (1 + lax.erf(x * math.sqrt(0.5)))


def _forward_rule(x: Array) -> tuple[Array, Array]:
  return gelu(x), x


def _backward_rule(x: Array, g: Array) -> tuple[Array]:
  wide = x.astype(jnp.float32)
  density = jnp.exp(-0.5 * jnp.square(wide)) * (1 / math.sqrt(2 * math.pi))
  slope = _distribution(wide) + wide * density
  return ((g.astype(jnp.float32) * slope).astype(x.dtype),)


gelu.defvjp(_forward_rule, _backward_rule)
