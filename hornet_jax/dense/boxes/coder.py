"""Boxes as shifts and scales of reference boxes, which is what heads predict."""

import dataclasses
import math

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hornet_jax.dense.boxes.overlap import clip_boxes
from hornet_jax.errors import InputError

_LEAST_SIDE = 1e-3  # pixels; keeps the code of boxes that are padding finite


@dataclasses.dataclass(frozen=True)
class BoxCoder:
  """Codes a box as its centre's shift, in sides of a reference box, and the logarithms of scales.

  Source: R-CNN (arXiv 1311.2524, appendix C), with the standard deviations and bounds of mmdet's
  `DeltaXYWHBBoxCoder`; torchvision's `BoxCoder` where weights are 1 / `stds`.
  Deviation: sides count as at least a thousandth of a pixel when they are coded, so that padding
  (boxes of zeros) does not make a masked loss NaN.

  Attributes:
    stds: numbers by which the four coordinates of a code are divided: shifts along x and y, scales
      of width and height.
    max_ratio: smallest scale of a side that is decoded, and the inverse of the largest.

  Raises:
    InputError: if these are not four positive numbers and a number in (0, 1].
  """

  stds: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
  max_ratio: float = 16 / 1000

  def __post_init__(self):
    if len(self.stds) != 4 or min(self.stds) <= 0:
      raise InputError(f"`stds` must be four positive numbers: got {self.stds}.")
    if not 0 < self.max_ratio <= 1:
      raise InputError(f"`max_ratio` must be > 0 and <= 1: got {self.max_ratio}.")

  def encode(
    self, boxes: Float[Array, "*#N 4"], references: Float[Array, "*#N 4"]
  ) -> Float[Array, "*#N 4"]:
    """Codes boxes by reference boxes.

    Args:
      boxes: corners (x0, y0, x1, y1) in pixels.
      references: corners of the reference boxes.
    """
    centres, sides = _centres_and_sides(boxes)
    from_centres, from_sides = _centres_and_sides(references)
    sides = jnp.maximum(sides, _LEAST_SIDE)
    from_sides = jnp.maximum(from_sides, _LEAST_SIDE)
    code = jnp.concatenate(
      [(centres - from_centres) / from_sides, jnp.log(sides / from_sides)], axis=-1
    )
    return code / self._stds(code)

  def decode(
    self,
    deltas: Float[Array, "*#N 4"],
    references: Float[Array, "*#N 4"],
    size: Int[Array, "2"] | None = None,
  ) -> Float[Array, "*#N 4"]:
    """Decodes boxes; leading axes broadcast, as those of codes for each class do.

    Args:
      deltas: codes of boxes.
      references: corners (x0, y0, x1, y1) of the reference boxes in pixels.
      size: height and width of the image to which boxes are clipped; None for no clipping.
    """
    from_centres, from_sides = _centres_and_sides(references)
    code = deltas.astype(jnp.float32) * self._stds(deltas)
    most = -math.log(self.max_ratio)
    centres = from_centres + code[..., :2] * from_sides
    halves = from_sides * jnp.exp(jnp.clip(code[..., 2:], -most, most)) / 2
    boxes = jnp.concatenate([centres - halves, centres + halves], axis=-1)
    return boxes if size is None else clip_boxes(boxes, size)

  def _stds(self, code: Array) -> Array:
    return jnp.asarray(self.stds, jnp.float32).reshape((1,) * (code.ndim - 1) + (4,))


def _centres_and_sides(boxes: Array) -> tuple[Array, Array]:
  boxes = boxes.astype(jnp.float32)
  return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
