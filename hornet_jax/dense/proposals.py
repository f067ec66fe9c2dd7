"""Of all anchors of an image, the boxes that most likely hold an object are proposed."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from hornet_jax.dense.boxes.coder import BoxCoder
from hornet_jax.dense.boxes.largest import largest
from hornet_jax.dense.boxes.nms import suppress

_MULTIPLE = 32  # pixels: an image's own sides are taken to be filled up to a multiple of this
_CODER = BoxCoder()


class Proposals(NamedTuple):
  """Boxes of one image that are looked at more closely; empty slots stand last.

  Attributes:
    boxes: corners (x0, y0, x1, y1) in pixels, from the likeliest on; 0 in an empty slot.
    valid: whether the slot is taken.
  """

  boxes: Float[Array, "P 4"]
  valid: Bool[Array, "P"]


@dataclasses.dataclass(frozen=True)
class Proposer:
  """A `Proposer` chooses boxes by what an `RpnHead` says of the anchors.

  Source: `RPNHead` of mmdet, whose non-maximum suppression compares boxes of one level; boxes
  without area are dropped (`min_bbox_size=0`).

  Attributes:
    before: number of likeliest anchors of each level that are compared.
    count: number P of boxes that are proposed.
    threshold: intersection over union above which the less likely box is dropped.
    coder: code of the boxes.
  """

  before: int = 1000
  count: int = 1000
  threshold: float = 0.7
  coder: BoxCoder = _CODER

  def propose(
    self,
    logits: Sequence[Float[Array, "_"]],
    deltas: Sequence[Float[Array, "_ 4"]],
    anchors: Sequence[Float[np.ndarray, "_ 4"]],
    size: Int[Array, "2"],
  ) -> Proposals:
    """Proposes boxes of one image; no gradient goes through them.

    Args:
      logits: logit of each anchor, one array a level.
      deltas: box of each anchor, encoded, likewise.
      anchors: corners (x0, y0, x1, y1) in pixels, likewise.
      size: height and width of the image within the canvas. Anchors of positions beyond it, filled
        up to a multiple of 32, are left out: so the canvas makes no difference.
    """
    boxes, scores = [], []
    for of_level, codes, references in zip(logits, deltas, anchors, strict=True):
      of_level, codes = lax.stop_gradient((of_level, codes))
      of_level = jnp.where(covered(references, size), of_level, -jnp.inf)
      chosen, indices = largest(of_level, min(self.before, len(of_level)))
      found = self.coder.decode(codes[indices], jnp.asarray(references)[indices], size)
      valid = jnp.isfinite(chosen) & jnp.all(found[:, 2:] > found[:, :2], axis=-1)
      # Level by level: boxes of different levels are not compared, which all pairs would be.
      left = suppress(found, jnp.where(valid, chosen, 0), valid, self.threshold)
      boxes.append(found)
      scores.append(jnp.where(left, chosen, -jnp.inf))
    likeliest = jnp.concatenate(scores)
    likeliest, indices = largest(likeliest, min(self.count, len(likeliest)))
    taken = jnp.isfinite(likeliest)
    found = jnp.where(taken[:, None], jnp.concatenate(boxes)[indices], 0)
    missing = self.count - len(indices)
    return Proposals(jnp.pad(found, ((0, missing), (0, 0))), jnp.pad(taken, (0, missing)))


def covered(anchors: Float[np.ndarray, "N 4"], size: Int[Array, "2"]) -> Bool[Array, "N"]:
  """Tells which anchors stand at positions of the image, filled up to a multiple of 32 pixels.

  Source: `AnchorGenerator.valid_flags` of mmdet.

  Args:
    anchors: corners (x0, y0, x1, y1) in pixels.
    size: height and width of the image within the canvas.
  """
  filled = -(-size // _MULTIPLE) * _MULTIPLE
  centres = (anchors[:, :2] + anchors[:, 2:]) / 2  # (x, y); multiples of a stride, up to rounding
  return jnp.all(centres < filled[None, ::-1] - 1, axis=-1)


def inside(anchors: Float[np.ndarray, "N 4"], size: Int[Array, "2"]) -> Bool[Array, "N"]:
  """Tells which anchors lie wholly within the image.

  Source: `anchor_inside_flags` of mmdet with `allowed_border=0`.

  Args:
    anchors: corners (x0, y0, x1, y1) in pixels.
    size: height and width of the image within the canvas.
  """
  return jnp.all((anchors[:, :2] >= 0) & (anchors[:, 2:] < size[None, ::-1]), axis=-1)
