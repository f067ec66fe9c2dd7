"""Which objects of one image were found, for people to look at: COCO has numbers of its own."""

import dataclasses

import numpy as np

from hornet_jax.data.views.instances import Instances
from hornet_jax.tasks.found_objects import FoundObjects

_OVERLAP = 0.5  # intersection over union of boxes


@dataclasses.dataclass(frozen=True)
class Matches:
  """How many objects of an image were found.

  Attributes:
    index: number of the image in its split.
    found: objects that were found.
    missed: objects that were not.
    false: what was found and is no object, or is one that was found already.
  """

  index: int
  found: int
  missed: int
  false: int

  @property
  def total(self) -> int:
    """Number of objects and of false finds."""
    return self.found + self.missed + self.false

  @property
  def share(self) -> float:
    """Share of the finds among objects and finds together, 2 TP / (2 TP + FP + FN)."""
    return 2 * self.found / max(2 * self.found + self.false + self.missed, 1)


def match_objects(index: int, found: FoundObjects, truth: Instances) -> Matches:
  """Gives each find, the surest first, the object of its class that it overlaps most.

  Crowds are no objects, and what lies on one by half is not false.

  Args:
    index: number of the image.
    found: what was found.
    truth: what is there.
  """
  overlap = _overlaps(found, truth)
  same = found.labels[:, None] == truth.labels[None]
  overlap = np.where(same, overlap, 0.0)
  free = ~truth.is_crowd
  hits = false = 0
  for row in overlap:
    open_row = np.where(free, row, 0.0)
    if open_row.size and open_row.max() >= _OVERLAP:
      free[np.argmax(open_row)] = False
      hits += 1
    elif not (row[truth.is_crowd] >= _OVERLAP).any():
      false += 1
  return Matches(index, hits, int((~truth.is_crowd).sum()) - hits, false)


def _overlaps(found: FoundObjects, truth: Instances) -> np.ndarray:
  """Gives the intersection over union of boxes, [n, m]; of a crowd, the share that is on it."""
  from faster_coco_eval.core import mask

  sides = [
    np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).astype(float)
    for boxes in (found.boxes, truth.boxes)
  ]
  overlap = mask.iou(*sides, truth.is_crowd.astype(int).tolist())
  return np.reshape(overlap, (len(found), len(truth)))
