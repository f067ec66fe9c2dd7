"""Reference boxes on a grid, of which a region proposal network says where objects are."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from hornet_jax.errors import InputError


def grid_anchors(
  grid: tuple[int, int],
  stride: int,
  scale: float = 8.0,
  ratios: Sequence[float] = (0.5, 1.0, 2.0),
) -> Float[np.ndarray, "N 4"]:
  """Anchors of one feature map: around each position one for each ratio, of equal area.

  Position (i, j) lies at (j * stride, i * stride) pixels. Anchors go row by row, and those of a
  position stand together: N = h * w * ratios. They are constants of the program, and reach beyond
  the image at its borders.

  Source: mmdet `AnchorGenerator` (`center_offset` 0); torchvision's rounds corners to whole pixels.

  Args:
    grid: height and width (h, w) of the feature map.
    stride: pixels from one position to the next.
    scale: side of a square anchor, in strides.
    ratios: heights by widths.

  Returns:
    Corners (x0, y0, x1, y1) in pixels.

  Raises:
    InputError: if a number is not positive, or there is no ratio.
  """
  if min(*grid, stride, scale, *ratios) <= 0 or not len(ratios):
    raise InputError(
      "anchors need a grid, stride, scale and ratios that are positive: got "
      f"{grid}, {stride}, {scale} and {tuple(ratios)}."
    )
  root = np.sqrt(np.asarray(ratios, np.float64))
  half = np.stack([1 / root, root], axis=-1) * (stride * scale / 2)  # [A, 2]
  around = np.concatenate([-half, half], axis=-1)  # [A, 4]
  y, x = np.meshgrid(*(stride * np.arange(n) for n in grid), indexing="ij")
  centres = np.stack([x, y, x, y], axis=-1)  # [h, w, 4]
  return (centres[:, :, None] + around[None, None]).reshape(-1, 4).astype(np.float32)
