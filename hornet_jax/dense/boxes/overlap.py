"""How much boxes overlap: areas, intersection over union, and its generalised form."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

_LEAST_AREA = 1e-6  # square pixels: bounds quotients, and their gradients, for boxes without area


def area(boxes: Float[Array, "*N 4"]) -> Float[Array, "*N"]:
  """Areas of boxes in square pixels; 0 for a box whose corners are out of order.

  Args:
    boxes: corners (x0, y0, x1, y1) in pixels.
  """
  sides = jnp.maximum(boxes[..., 2:] - boxes[..., :2], 0)
  return sides[..., 0] * sides[..., 1]


def overlaps(a: Float[Array, "N 4"], b: Float[Array, "M 4"]) -> Float[Array, "N M"]:
  """Intersection over union of every pair of boxes; 0 where the union is 0.

  Args:
    a: corners (x0, y0, x1, y1) in pixels.
    b: corners likewise.
  """
  a, b = a[:, None], b[None]  # [N, 1, 4], [1, M, 4]
  both = _intersection(a, b)
  union = area(a) + area(b) - both
  return jnp.where(union > 0, both / jnp.where(union > 0, union, 1), 0)


def generalized_overlap(a: Float[Array, "N 4"], b: Float[Array, "N 4"]) -> Float[Array, "N"]:
  """Generalised intersection over union (GIoU) of each box with its partner, in [-1, 1].

  From the intersection over union is subtracted which share of the smallest box around both is
  covered by neither. It and its gradients are finite for boxes without area, too.

  Source: Rezatofighi et al., arXiv 1902.09630.

  Args:
    a: corners (x0, y0, x1, y1) in pixels.
    b: corners of the partners.
  """
  both = _intersection(a, b)
  union = area(a) + area(b) - both
  around = area(
    jnp.concatenate(
      [jnp.minimum(a[..., :2], b[..., :2]), jnp.maximum(a[..., 2:], b[..., 2:])], axis=-1
    )
  )
  uncovered = (around - union) / jnp.maximum(around, _LEAST_AREA)
  return both / jnp.maximum(union, _LEAST_AREA) - uncovered


def clip_boxes(boxes: Float[Array, "*N 4"], size: Int[Array, "2"]) -> Float[Array, "*N 4"]:
  """Clips boxes to an image; one that lies outside keeps no area.

  Args:
    boxes: corners (x0, y0, x1, y1) in pixels.
    size: height and width of the image.
  """
  height, width = size.astype(boxes.dtype)
  x0, y0, x1, y1 = jnp.moveaxis(boxes, -1, 0)
  across, down = (lambda x: lax.clamp(0.0, x, width)), (lambda y: lax.clamp(0.0, y, height))
  return jnp.stack([across(x0), down(y0), across(x1), down(y1)], axis=-1)


def _intersection(a: Array, b: Array) -> Array:
  start = jnp.maximum(a[..., :2], b[..., :2])
  end = jnp.minimum(a[..., 2:], b[..., 2:])
  return area(jnp.concatenate([start, end], axis=-1))
