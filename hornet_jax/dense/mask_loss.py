"""What a mask head learns: which points of a region are of the object that it shows."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hornet_jax.dense.boxes.box_losses import sigmoid_cross_entropy
from hornet_jax.dense.boxes.roi_align import crop_masks
from hornet_jax.dense.regions import Objects, Regions


def mask_targets(
  regions: Regions, objects: Objects, count: int, points: int
) -> Bool[Array, "P Q Q"]:
  """Tells which points of the first regions of one image are of their object.

  Source: `mask_target` of mmdet: the mask is averaged within each point's bin, and at least half of
  it must be the object's.

  Args:
    regions: regions of the image, which show objects in the first slots alone.
    objects: objects of the image.
    count: number P of regions.
    points: number Q of points a side.
  """
  shown = regions.objects[:count]
  masks = objects.masks[shown].astype(jnp.float32)
  return crop_masks(masks, objects.boxes[shown], regions.boxes[:count], points) >= 0.5


def mask_sum(
  logits: Float[Array, "P Q Q K"],
  labels: Int[Array, "P"],
  positive: Bool[Array, "P"],
  targets: Bool[Array, "P Q Q"],
) -> Float[Array, ""]:
  """Sums over the regions that show objects the mean cross-entropy of their points.

  Args:
    logits: logits of K classes, of which that of the object alone counts.
    labels: class of the object in each region.
    positive: whether a region shows an object.
    targets: points of the object.
  """
  of_regions = jnp.mean(sigmoid_cross_entropy(of_label(logits, labels), targets), axis=(1, 2))
  return jnp.sum(jnp.where(positive, of_regions, 0))


def of_label(logits: Float[Array, "P Q Q K"], labels: Int[Array, "P"]) -> Float[Array, "P Q Q"]:
  """Picks the logits of one class for each region; any where the label is of no class."""
  labels = jnp.clip(labels, 0, logits.shape[-1] - 1)
  return jnp.take_along_axis(logits, labels[:, None, None, None], axis=-1)[..., 0]
