"""A stage of a detector looks at regions: which it is trained on, how, and how it moves them."""

import dataclasses

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key

from hornet_jax.dense.boxes.assign import Assigner
from hornet_jax.dense.boxes.box_losses import giou_loss, smooth_l1, softmax_cross_entropy
from hornet_jax.dense.boxes.coder import BoxCoder
from hornet_jax.dense.boxes.sample import positive_slots
from hornet_jax.dense.proposals import Proposals
from hornet_jax.dense.regions import Objects, Regions, draw_regions
from hornet_jax.errors import InputError

_BOX_LOSSES = ("giou", "smooth_l1")


@dataclasses.dataclass(frozen=True)
class Stage:
  """A `Stage` holds the rules by which a head on regions is trained and read.

  Source: `StandardRoIHead` and `CascadeRoIHead` of mmdet (Cascade R-CNN, arXiv 1712.00726).

  Attributes:
    assigner: rule by which proposals are matched with objects.
    coder: code of the boxes.
    weight: weight of the stage's losses.
    box_loss: loss of a box: `"giou"`, 1 - GIoU of what is decoded, or `"smooth_l1"`, of the codes.
    box_weight: weight of that loss.
    beta: distance below which `"smooth_l1"` is quadratic; 0 for the plain distance (L1).
    count: number of regions that are drawn in training.
    positive_share: largest share of them that show objects.

  Raises:
    InputError: if there is no such loss.
  """

  assigner: Assigner
  coder: BoxCoder
  weight: float = 1.0
  box_loss: str = "giou"
  box_weight: float = 10.0
  beta: float = 0.0
  count: int = 512
  positive_share: float = 0.25

  def __post_init__(self) -> None:
    if self.box_loss not in _BOX_LOSSES:
      raise InputError(
        f"`box_loss` must be one of {', '.join(_BOX_LOSSES)}: got {self.box_loss!r}."
      )

  @property
  def positives(self) -> int:
    """Gives the number of slots, the first ones, in which regions may show objects."""
    return positive_slots(self.count, self.positive_share)

  def draw(
    self, key: Key[Array, ""], proposals: Proposals, objects: Objects, num_classes: int
  ) -> Regions:
    """Draws the regions of one image that are trained on, see `draw_regions`."""
    return draw_regions(
      key, proposals, objects, self.assigner, self.count, self.positive_share, num_classes
    )

  def sums(
    self,
    logits: Float[Array, "S K1"],
    deltas: Float[Array, "S K 4"],
    regions: Regions,
    boxes: Float[Array, "M 4"],
  ) -> dict[str, Float[Array, ""]]:
    """Sums the losses of the regions of one image: `class` and `box`, without the weights.

    Args:
      logits: logits of K classes and the background.
      deltas: box of each class, encoded.
      regions: what was drawn.
      boxes: boxes of the objects.
    """
    of_class = softmax_cross_entropy(logits, regions.labels)
    codes, targets = _of_class(deltas, regions.labels), boxes[regions.objects]
    if self.box_loss == "giou":
      of_box = giou_loss(self.coder.decode(codes, regions.boxes), targets)
    else:
      of_box = smooth_l1(codes, self.coder.encode(targets, regions.boxes), self.beta)
    return {
      "class": jnp.sum(jnp.where(regions.valid, of_class, 0)),
      "box": jnp.sum(jnp.where(regions.positive, of_box, 0)),
    }

  def refine(
    self,
    boxes: Float[Array, "S 4"],
    logits: Float[Array, "S K1"],
    deltas: Float[Array, "S K 4"],
    size: Int[Array, "2"],
    labels: Int[Array, "S"] | None = None,
  ) -> Float[Array, "S 4"]:
    """Moves the regions of one image to where an object of their class is said to be.

    The class is the likeliest one; in training that of the object, where a region shows one. No
    gradient goes through the result.

    Args:
      boxes: corners (x0, y0, x1, y1) in pixels.
      logits: logits of K classes and the background.
      deltas: box of each class, encoded.
      size: height and width of the image, to which boxes are clipped.
      labels: class of each region, K for the background; None where it is not known.
    """
    num_classes = deltas.shape[1]
    chosen = jnp.argmax(logits[:, :num_classes], axis=-1)
    if labels is not None:
      chosen = jnp.where(labels == num_classes, chosen, labels)
    return lax.stop_gradient(self.coder.decode(_of_class(deltas, chosen), boxes, size))


def _of_class(deltas: Array, labels: Array) -> Array:
  """Picks the code of one class [S, 4]; of the last one for the background."""
  labels = jnp.minimum(labels, deltas.shape[1] - 1)
  return jnp.take_along_axis(deltas, labels[:, None, None], axis=1)[:, 0]
