"""Gradients of a batch in several parts, for batches that do not fit."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array


def accumulate(
  value_and_grad: Callable[[Any, Any], tuple[Array, Any]],
  params: Any,
  rows: Any,
  *,
  steps: int,
  num_devices: int,
  clip_norm: float = 0.0,
) -> tuple[Array, Any, Array]:
  """Sums a loss and its gradient over the micro-batches of a batch.

  Each device's rows are cut into `steps` parts, so that no row leaves its device; micro-step
  i sees the i-th part of every device.

  Args:
    value_and_grad: (params, rows of a micro-batch) -> (loss, gradient), whose sums over the
      micro-batches are those of the batch.
    params: passed on.
    rows: tree of arrays [B, ...]; B is a multiple of `steps` times `num_devices`.
    steps: number of micro-batches.
    num_devices: over which the rows are spread, in order.
    clip_norm: largest L2 norm of the sum after every micro-step, which is the official
      order (main.py clips after every backward pass); 0 for none.

  Returns:
    The summed loss and gradient, and the L2 norm of the gradient before clipping: with
    clipping after every micro-step, the largest of them. Not finite if any of them was
    not, even where clipping hides it.
  """

  def add(total: tuple[Array, Any], part: Any) -> tuple[tuple[Array, Any], Array]:
    loss, grads = jax.tree.map(jnp.add, total, value_and_grad(params, part))
    if clip_norm == 0:
      return (loss, grads), jnp.zeros(())
    return (loss, optax.projections.projection_l2_ball(grads, clip_norm)), optax.tree.norm(grads)

  if steps == 1 and clip_norm == 0:
    loss, grads = value_and_grad(params, rows)
    return loss, grads, optax.tree.norm(grads)
  zeros = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
  parts = jax.tree.map(lambda leaf: _parts(leaf, steps, num_devices), rows)
  (loss, grads), norms = jax.lax.scan(add, zeros, parts)
  return loss, grads, jnp.max(norms) if clip_norm > 0 else optax.tree.norm(grads)


def _parts(rows: Array, steps: int, num_devices: int) -> Array:
  """[B, ...] -> [steps, B / steps, ...]."""
  per_device = rows.reshape(num_devices, steps, -1, *rows.shape[1:])
  return per_device.swapaxes(0, 1).reshape(steps, -1, *rows.shape[1:])
