"""Losses of single samples, which their readers weigh and sum."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hornet_jax.dense.boxes.overlap import generalized_overlap
from hornet_jax.errors import InputError


def smooth_l1(
  predicted: Float[Array, "*N 4"], target: Float[Array, "*N 4"], beta: float = 0.0
) -> Float[Array, "*N"]:
  """Distance of codes, quadratic below `beta`, summed over their four coordinates.

  Source: Fast R-CNN (arXiv 1504.08083, equation 3); torch `F.smooth_l1_loss`.

  Args:
    predicted: codes of boxes.
    target: codes that they should be.
    beta: distance below which the loss is quadratic; 0 for the plain distance (L1).

  Raises:
    InputError: if `beta` is negative.
  """
  if beta < 0:
    raise InputError(f"`beta` must not be negative: got {beta}.")
  distance = jnp.abs(predicted.astype(jnp.float32) - target)
  if beta:
    near = 0.5 * distance**2 / beta
    distance = jnp.where(distance < beta, near, distance - 0.5 * beta)
  return distance.sum(axis=-1)


def giou_loss(predicted: Float[Array, "N 4"], target: Float[Array, "N 4"]) -> Float[Array, "N"]:
  """1 - GIoU of each box with the one that it should be, in [0, 2]; finite without area, too.

  Source: Rezatofighi et al., arXiv 1902.09630; torchvision `generalized_box_iou_loss`.

  Args:
    predicted: corners (x0, y0, x1, y1) in pixels.
    target: corners that they should be.
  """
  return 1 - generalized_overlap(predicted, target)


def sigmoid_cross_entropy(
  logits: Float[Array, "*N"], positive: Bool[Array, "*N"]
) -> Float[Array, "*N"]:
  """Cross-entropy of two-way decisions, in nats.

  Args:
    logits: logits of yes.
    positive: whether the answer is yes.
  """
  logits = logits.astype(jnp.float32)
  return jax.nn.softplus(jnp.where(positive, -logits, logits))


def softmax_cross_entropy(
  logits: Float[Array, "*N C"], labels: Int[Array, "*N"]
) -> Float[Array, "*N"]:
  """Cross-entropy of classifications, in nats.

  Args:
    logits: logits of C classes.
    labels: number of the class; 0 is read for the -1 of padding, which its reader weighs with 0.
  """
  logits = jax.nn.log_softmax(logits.astype(jnp.float32))
  labels = jnp.maximum(labels, 0)[..., None]
  return -jnp.take_along_axis(logits, labels, axis=-1)[..., 0]
