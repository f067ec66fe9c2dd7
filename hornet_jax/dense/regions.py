"""Regions of an image that a head is trained on: objects themselves, and some proposals."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, Num

from hornet_jax.dense.boxes.assign import NEITHER, Assigner
from hornet_jax.dense.boxes.sample import sample
from hornet_jax.dense.proposals import Proposals


class Objects(NamedTuple):
  """What there is in one image, or in each of a batch.

  Attributes:
    boxes: corners (x0, y0, x1, y1) in pixels; 0 for padding.
    labels: class 0 to K - 1; -1 for padding.
    masks: bitmap of each object, of 0 and 1, whose extent is its box.
  """

  boxes: Float[Array, "*B M 4"]
  labels: Int[Array, "*B M"]
  masks: Num[Array, "*B M m m"]

  @property
  def real(self) -> Bool[Array, "*B M"]:
    """Tells which are none of padding."""
    return self.labels >= 0


class Regions(NamedTuple):
  """Regions of one image that were drawn; those that show objects first, empty slots last.

  Attributes:
    boxes: corners (x0, y0, x1, y1) in pixels.
    labels: class of each region; K, the number of classes, for the background.
    objects: number of the object that it shows; 0 where it shows none.
    positive: whether it shows an object.
    valid: whether the slot is taken.
    given: whether it is the very box of an object, not a proposal.
  """

  boxes: Float[Array, "S 4"]
  labels: Int[Array, "S"]
  objects: Int[Array, "S"]
  positive: Bool[Array, "S"]
  valid: Bool[Array, "S"]
  given: Bool[Array, "S"]

  def kept(self, boxes: Float[Array, "S 4"]) -> Proposals:
    """Makes proposals of boxes that were refined, without those of the given ones."""
    return Proposals(boxes, self.valid & ~self.given)


def draw_regions(
  key: Key[Array, ""],
  proposals: Proposals,
  objects: Objects,
  assigner: Assigner,
  count: int,
  positive_share: float,
  num_classes: int,
) -> Regions:
  """Draws regions of one image among its proposals and the boxes of its objects.

  Source: `RandomSampler` of mmdet with `add_gt_as_proposals`: an object's own box shows it whatever
  the assigner asks for.

  Args:
    key: random key of the image.
    proposals: boxes that may show objects.
    objects: objects of the image.
    assigner: rule by which proposals are matched with objects.
    count: number S of regions.
    positive_share: largest share of them that show objects.
    num_classes: K.
  """
  real = objects.real
  themselves = jnp.where(real, jnp.arange(len(real), dtype=jnp.int32), NEITHER)
  found = assigner.assign(proposals.boxes, proposals.valid, objects.boxes, real)
  matched = jnp.concatenate([themselves, found])
  candidates = jnp.concatenate([objects.boxes, proposals.boxes])
  drawn = sample(key, matched, count, positive_share)
  shown = jnp.where(drawn.positive, matched[drawn.indices], 0)
  return Regions(
    boxes=jnp.where(drawn.valid[:, None], candidates[drawn.indices], 0),
    labels=jnp.where(drawn.positive, objects.labels[shown], num_classes),
    objects=shown,
    positive=drawn.positive,
    valid=drawn.valid,
    given=drawn.positive & (drawn.indices < len(real)),
  )
