"""The largest of some numbers, of each image where it lies."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from hornet_jax.errors import InputError


def largest(values: Float[Array, "N"], count: int) -> tuple[Float[Array, "k"], Int[Array, "k"]]:
  """Gives the largest numbers in descending order, and their indices; of equal ones the first.

  That is `jax.lax.top_k`, for which the compiler gathers the whole batch on every device; a sort is
  done by each device for its own images.

  Args:
    values: numbers, none of them NaN.
    count: how many are wanted, at most N.

  Raises:
    InputError: if there are not as many.
  """
  if not 0 <= count <= len(values):
    raise InputError(f"`count` must be at most {len(values)}, as many as there are: got {count}.")
  values = lax.stop_gradient(values)
  falling, indices = lax.sort((-values, jnp.arange(len(values), dtype=jnp.int32)), num_keys=1)
  return -falling[:count], indices[:count]
