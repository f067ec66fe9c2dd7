"""Boxes that overlap a better one are suppressed: exact greedy non-maximum suppression."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from hornet_jax.dense.boxes.largest import largest
from hornet_jax.dense.boxes.overlap import overlaps
from hornet_jax.errors import InputError


def suppress(
  boxes: Float[Array, "N 4"],
  scores: Float[Array, "N"],
  valid: Bool[Array, "N"],
  threshold: float,
) -> Bool[Array, "N"]:
  """Says which boxes remain when each one that overlaps a better one that remains is taken away.

  That is what a loop from the best box to the worst gives, ties going to the lower index, without
  the loop: all boxes are decided together, and again, until nothing changes. This ends after as
  many rounds as the longest chain of boxes that decide over each other, and nothing else is then
  possible. Memory: two bytes for each pair of boxes.

  Args:
    boxes: corners (x0, y0, x1, y1) in pixels.
    scores: score of each box, finite.
    valid: whether a box takes part; the others do not remain.
    threshold: intersection over union above which the worse box is suppressed.

  Raises:
    InputError: if `threshold` is not in [0, 1].
  """
  return _remaining(boxes, scores, None, valid, threshold)


def best(
  boxes: Float[Array, "N 4"],
  scores: Float[Array, "N"],
  groups: Int[Array, "N"],
  valid: Bool[Array, "N"],
  threshold: float,
  count: int,
) -> tuple[Int[Array, "D"], Bool[Array, "D"]]:
  """The best boxes that remain when boxes of the same group suppress each other.

  Source: torchvision `batched_nms`, exactly: boxes are compared within groups, not moved apart.

  Args:
    boxes: corners (x0, y0, x1, y1) in pixels.
    scores: score of each box, finite.
    groups: number of each box's group, such as its class.
    valid: whether a box takes part.
    threshold: intersection over union above which the worse box is suppressed.
    count: number D of boxes that are wanted.

  Returns:
    Their indices from the best to the worst, ties by index, and which of the D are taken; 0 in
    those that are not.

  Raises:
    InputError: if `threshold` is not in [0, 1], or `count` is not positive.
  """
  if count < 1:
    raise InputError(f"`count` must be at least 1: got {count}.")
  remaining = _remaining(boxes, scores, groups, valid, threshold)
  _, indices = largest(jnp.where(remaining, scores, -jnp.inf), min(count, scores.shape[0]))
  missing = count - indices.shape[0]
  taken = jnp.pad(remaining[indices], (0, missing))
  return jnp.where(taken, jnp.pad(indices, (0, missing)), 0), taken


def _remaining(
  boxes: Array, scores: Array, groups: Array | None, valid: Array, threshold: float
) -> Array:
  if not 0 <= threshold <= 1:
    raise InputError(f"`threshold` must be in [0, 1]: got {threshold}.")
  boxes, scores = lax.stop_gradient((boxes, scores))
  index = jnp.arange(scores.shape[0])
  better = (scores[None] > scores[:, None]) | (
    (scores[None] == scores[:, None]) & (index[None] < index[:, None])
  )
  rivals = better & (overlaps(boxes, boxes) > threshold)  # [i, j]: j would suppress i
  if groups is not None:
    rivals &= groups[None] == groups[:, None]

  def decide(state: tuple[Array, Array]) -> tuple[Array, Array]:
    remaining, _ = state
    decided = valid & ~(rivals & remaining[None]).any(axis=1)
    return decided, (decided != remaining).any()

  return lax.while_loop(lambda state: state[1], decide, (valid, valid.any()))[0]
