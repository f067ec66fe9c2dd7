"""This module computes the gradient of a batch in several parts, for batches that do not fit."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array


def accumulate(
  value_and_grad: Callable[[Any, Any, Any], tuple[tuple[Array, Any], Any]],
  params: Any,
  model_state: Any,
  rows: Any,
  *,
  steps: int,
  num_devices: int,
  clip_norm: float = 0.0,
) -> tuple[tuple[Array, Any], Any, Array]:
  """Sums a loss and its gradient over the micro-batches of a batch.

  Each device's rows are cut into `steps` parts, so that no row leaves its device; micro-step
  i sees the i-th part of every device.

  Args:
    value_and_grad: function (params, model state, rows of a micro-batch) -> ((loss, new model
      state), gradient); losses and gradients, summed over the micro-batches, must be those of the
      batch.
    params: first argument of `value_and_grad`.
    model_state: state that the model changes itself, passed from one micro-step to the next.
    rows: tree of arrays [B, ...]; B is a multiple of `steps` times `num_devices`.
    steps: number of micro-batches.
    num_devices: number of devices that the rows are spread over, in order.
    clip_norm: largest L2 norm of the sum after every micro-step, which is the official
      order (main.py clips after every backward pass); 0 for none.

  Returns:
    The summed loss with the last model state, the summed gradient, and its L2 norm before
    clipping (the largest of them where every micro-step is clipped). Not finite if any of
    them was not, even where clipping hides it.
  """

  def add(total: tuple[Any, Any, Any], part: Any) -> tuple[tuple[Any, Any, Any], Array]:
    loss, grads, model_state = total
    (new_loss, model_state), new_grads = value_and_grad(params, model_state, part)
    loss, grads = jax.tree.map(jnp.add, (loss, grads), (new_loss, new_grads))
    if clip_norm == 0:
      return (loss, grads, model_state), jnp.zeros(())
    clipped = optax.projections.projection_l2_ball(grads, clip_norm)
    return (loss, clipped, model_state), optax.tree.norm(grads)

  if steps == 1 and clip_norm == 0:
    loss_and_state, grads = value_and_grad(params, model_state, rows)
    return loss_and_state, grads, optax.tree.norm(grads)
  start = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params), model_state)
  parts = jax.tree.map(lambda leaf: _parts(leaf, steps, num_devices), rows)
  (loss, grads, model_state), norms = jax.lax.scan(add, start, parts)
  return (loss, model_state), grads, jnp.max(norms) if clip_norm > 0 else optax.tree.norm(grads)


def _parts(rows: Array, steps: int, num_devices: int) -> Array:
  """Cuts rows [B, ...] into micro-batches [steps, B / steps, ...]."""
  per_device = rows.reshape(num_devices, steps, -1, *rows.shape[1:])
  return per_device.swapaxes(0, 1).reshape(steps, -1, *rows.shape[1:])
