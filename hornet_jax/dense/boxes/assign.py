"""Which object a candidate box is to find, by how much they overlap."""

import dataclasses

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from hornet_jax.dense.boxes.overlap import overlaps
from hornet_jax.errors import InputError

BACKGROUND = -1
NEITHER = -2


@dataclasses.dataclass(frozen=True)
class Assigner:
  """Matches candidates (anchors or proposals) with the boxes of objects.

  A candidate is matched with the object that it overlaps most where the intersection over union is
  at least `positive`; below `negative` it is background, and in between neither. With `least`, each
  object also gets all candidates that overlap it most, if they do by at least that much, whatever
  else they were: of several such objects, the last.

  Source: Faster R-CNN (arXiv 1506.01497, section 3.1.2); mmdet `MaxIoUAssigner`, where `least` is
  `min_pos_iou` with `match_low_quality`.

  Attributes:
    positive: smallest overlap of a match.
    negative: overlap below which a candidate is background.
    least: smallest overlap by which an object's best candidates are matched with it; None for none.

  Raises:
    InputError: if these are not shares with negative <= positive.
  """

  positive: float
  negative: float
  least: float | None = None

  def __post_init__(self):
    if not 0 <= self.negative <= self.positive <= 1 or not 0 <= (self.least or 0) <= 1:
      raise InputError(
        "overlaps by which candidates are assigned must be in [0, 1] with negative <= positive: "
        f"got positive={self.positive}, negative={self.negative}, least={self.least}."
      )

  def assign(
    self,
    candidates: Float[Array, "N 4"],
    valid: Bool[Array, "N"],
    boxes: Float[Array, "M 4"],
    box_valid: Bool[Array, "M"],
  ) -> Int[Array, "N"]:
    """Matches the candidates of one image with its objects.

    Memory: four bytes for each pair of a candidate and an object.

    Args:
      candidates: corners (x0, y0, x1, y1) in pixels.
      valid: whether a candidate is none of padding.
      boxes: corners of the objects.
      box_valid: whether an object is none of padding.

    Returns:
      The index of each candidate's object; -1 (`BACKGROUND`) where it shows background, -2
      (`NEITHER`) where it shows neither or is padding.
    """
    real = box_valid[:, None] & valid[None]  # [M, N]
    found = jnp.where(real, overlaps(*lax.stop_gradient((boxes, candidates))), -1.0)
    # Computed once: two fusions may round it in two ways, and what is largest would not be found.
    found = lax.optimization_barrier(found)
    most = found.max(axis=0)
    matched = jnp.where(most < self.negative, BACKGROUND, NEITHER)
    matched = jnp.where(most >= self.positive, jnp.argmax(found, axis=0), matched)
    if self.least is not None:
      best = found.max(axis=1, keepdims=True)  # [M, 1]
      taken = (found == best) & (best >= self.least)  # padding, at -1, is none of these
      last = jnp.where(taken, jnp.arange(boxes.shape[0])[:, None], -1).max(axis=0)
      matched = jnp.where(last >= 0, last, matched)
    return jnp.where(valid, matched, NEITHER).astype(jnp.int32)
