"""A model is called with its variables, whatever its state and its head."""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Array, Float, Key

from hornet_jax.models.api import Architecture
from hornet_jax.models.parallel import gather_outside


def apply(
  model: Architecture,
  variables: Mapping[str, Any],
  images: Float[Array, "B H W C"],
  context: Mapping[str, Array] | None = None,
  *,
  train: bool = False,
  keys: Key[Array, "B"] | None = None,
) -> tuple[Any, dict[str, Any]]:
  """Calls `model.apply`, with kernels that lie in parts made whole where they are needed.

  The blocks of a stage do so themselves, one at a time.

  Args:
    model: what is called.
    variables: parameters and the collections of its state.
    images: normalised.
    context: what the head takes beside feature maps; none or nothing where it takes no more.
    train: whether it is being trained: its state then changes.
    keys: one random key a row.

  Returns:
    What the model returns, and its new state.
  """
  model_state = {name: value for name, value in variables.items() if name != "params"}
  variables = {**model_state, "params": gather_outside(model, variables["params"])}
  settings = {"train": train, "keys": keys, **({"context": context} if context else {})}
  if not (train and model_state):
    return model.apply(variables, images, **settings), model_state
  return model.apply(variables, images, **settings, mutable=list(model_state))
