"""What a detector reports of an image: the best boxes, each of one class."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hornet_jax.dense.boxes.largest import largest
from hornet_jax.dense.boxes.nms import best


class Detections(NamedTuple):
  """Objects that were found in one image, the surest first; empty slots stand last.

  Attributes:
    boxes: corners (x0, y0, x1, y1) in pixels; 0 in an empty slot.
    scores: probability of the class; 0 in an empty slot.
    labels: class 0 to K - 1; -1 in an empty slot.
  """

  boxes: Float[Array, "D 4"]
  scores: Float[Array, "D"]
  labels: Int[Array, "D"]


@dataclasses.dataclass(frozen=True)
class Detect:
  """A `Detect` chooses among the boxes that were found for each class.

  Source: `multiclass_nms` of mmdet.
  Deviation: boxes are compared among the `candidates` likeliest only, which mmdet does not limit.

  Attributes:
    least_score: score that is exceeded by what is reported.
    threshold: intersection over union above which the less likely box of a class is dropped.
    candidates: largest number of pairs of box and class that are compared.
    count: number D of slots.
  """

  least_score: float = 0.05
  threshold: float = 0.5
  candidates: int = 1000
  count: int = 100

  def choose(
    self,
    scores: Float[Array, "R K"],
    boxes: Float[Array, "R K 4"],
    valid: Bool[Array, "R"],
  ) -> Detections:
    """Chooses the detections of one image.

    Args:
      scores: probability of each class in each region, without that of the background.
      boxes: box of each class in each region, corners in pixels.
      valid: whether a region is none of padding.
    """
    num_classes = scores.shape[1]
    flat = jnp.where(valid[:, None], scores, 0).reshape(-1)
    likeliest, pairs = largest(flat, min(self.candidates, len(flat)))
    labels = (pairs % num_classes).astype(jnp.int32)
    found = boxes.reshape(-1, 4)[pairs]
    indices, taken = best(
      found, likeliest, labels, likeliest > self.least_score, self.threshold, self.count
    )
    return Detections(
      jnp.where(taken[:, None], found[indices], 0),
      jnp.where(taken, likeliest[indices], 0),
      jnp.where(taken, labels[indices], -1),
    )
