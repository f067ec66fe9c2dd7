"""Whole channels of single examples are dropped, by the example's own random key."""

import jax
from jaxtyping import Array, Float, Key

from hornet_jax.errors import InputError

_SALT = 0x5E6  # keeps these draws apart from those of drop path


def channel_dropout(
  x: Float[Array, "B H W C"], rate: float, keys: Key[Array, "B"] | None, salt: int = 0
) -> Float[Array, "B H W C"]:
  """Sets each channel of each example to 0 with some probability, and scales what is kept.

  A draw depends only on the example's own key and `salt`: not on the batch that it stands in, nor
  on the mesh.

  Source: torch `nn.Dropout2d`.

  Args:
    x: features.
    rate: probability in [0, 1); 0 keeps all.
    keys: one random key for each example.
    salt: number of the place in the network.

  Raises:
    InputError: if `rate` is no such probability, or there are no keys where channels are dropped.
  """
  if not 0 <= rate < 1:
    raise InputError(f"`rate` must be >= 0 and < 1: got {rate}.")
  if not rate:
    return x
  if keys is None:
    raise InputError(
      "`keys` must be given to train with dropout: expected one random key per example, got None. "
      "Hint: jax.random.split(key, batch_size)."
    )

  def factors(key: Array) -> Array:
    kept = jax.random.bernoulli(jax.random.fold_in(key, _SALT + salt), 1 - rate, (x.shape[-1],))
    return kept / (1 - rate)

  return x * jax.vmap(factors)(keys)[:, None, None].astype(x.dtype)  # [B, 1, 1, C]
