"""What a region proposal network learns: which anchors show objects, and the boxes of these."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from hornet_jax.dense.boxes.assign import Assigner
from hornet_jax.dense.boxes.box_losses import sigmoid_cross_entropy, smooth_l1
from hornet_jax.dense.boxes.coder import BoxCoder
from hornet_jax.dense.boxes.sample import Sample, sample
from hornet_jax.dense.proposals import covered, inside

_ASSIGNER, _CODER = Assigner(0.7, 0.3, 0.3), BoxCoder()


@dataclasses.dataclass(frozen=True)
class RpnLoss:
  """An `RpnLoss` draws anchors of an image and sums their losses.

  Source: `RPNHead` of mmdet with `MaxIoUAssigner` and `RandomSampler`.
  Deviation: losses are divided by the number of samples; mmdet counts at least one of either kind
  for each image.

  Attributes:
    assigner: rule by which anchors are matched with objects.
    count: number of anchors that are drawn.
    positive_share: largest share of them that show objects.
    coder: code of the boxes.
    beta: distance below which the loss of a box is quadratic; 0 for none.
    whole: whether only anchors that lie wholly within the image are drawn (`allowed_border=0`);
      else all that stand at positions of it.
  """

  assigner: Assigner = _ASSIGNER
  count: int = 256
  positive_share: float = 0.5
  coder: BoxCoder = _CODER
  beta: float = 0.0
  whole: bool = False

  def draw(
    self,
    key: Key[Array, ""],
    anchors: Float[np.ndarray, "N 4"],
    size: Int[Array, "2"],
    boxes: Float[Array, "M 4"],
    is_object: Bool[Array, "M"],
  ) -> tuple[Int[Array, "N"], Sample]:
    """Matches the anchors of one image with its objects, and draws some.

    Args:
      key: random key of the image.
      anchors: anchors of all levels, corners in pixels.
      size: height and width of the image within the canvas.
      boxes: boxes of the objects.
      is_object: whether a box is none of padding.

    Returns:
      The object of each anchor, see `Assigner.assign`, and the sample.
    """
    valid = covered(anchors, size)
    if self.whole:
      valid &= inside(anchors, size)
    matched = self.assigner.assign(jnp.asarray(anchors), valid, boxes, is_object)
    return matched, sample(key, matched, self.count, self.positive_share)

  def sums(
    self,
    logits: Float[Array, "N"],
    deltas: Float[Array, "N 4"],
    anchors: Float[np.ndarray, "N 4"],
    boxes: Float[Array, "M 4"],
    matched: Int[Array, "N"],
    drawn: Sample,
  ) -> dict[str, Float[Array, ""]]:
    """Sums the losses of the drawn anchors of one image: `rpn_class` and `rpn_box`.

    Args:
      logits: logit of each anchor.
      deltas: box of each anchor, encoded.
      anchors: corners (x0, y0, x1, y1) in pixels.
      boxes: boxes of the objects.
      matched: number of each anchor's object.
      drawn: numbers of the anchors that count.
    """
    indices = drawn.indices
    of_class = sigmoid_cross_entropy(logits[indices], drawn.positive)
    objects = jnp.where(drawn.positive, matched[indices], 0)
    targets = self.coder.encode(boxes[objects], jnp.asarray(anchors)[indices])
    of_box = smooth_l1(deltas[indices], targets, self.beta)
    return {
      "rpn_class": jnp.sum(jnp.where(drawn.valid, of_class, 0)),
      "rpn_box": jnp.sum(jnp.where(drawn.positive, of_box, 0)),
    }
