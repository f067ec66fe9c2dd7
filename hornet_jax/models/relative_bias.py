"""Attention inside of a window has a bias for each relative position of two of its places."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

_STEPS = 1e-6  # to which the factor of the geometric series is found


def make_bias(table: Float[Array, "h w D"]) -> Float[Array, "D N N"]:
  """Spreads a table over pairs of places: bias[:, a, b] = table[a - b], in a window of N places.

  Args:
    table: biases by relative position (row, column), from the most negative on; 2 w - 1 of them
      along a side of w places.
  """
  height, width = (table.shape[0] + 1) // 2, (table.shape[1] + 1) // 2
  # Slices instead of a gather: their gradient is a sum of slices, not a scatter.
  rows = jnp.stack(
    [table[height - 1 - i : 2 * height - 1 - i] for i in range(height)], axis=1
  )  # [row of a, row of b, 2 w - 1, D]
  both = jnp.stack(
    [rows[:, :, width - 1 - j : 2 * width - 1 - j] for j in range(width)], axis=3
  )  # [row of a, row of b, column of a, column of b, D]
  places = height * width
  return both.transpose(4, 0, 2, 1, 3).reshape(-1, places, places)


def resize_relative_bias(
  table: Float[Array, "h w D"], window: tuple[int, int]
) -> Float[Array, "H W D"]:
  """Resizes a table to another window: linearly, between distances that grow geometrically.

  Source: timm, layers/pos_embed_rel.py, `resize_rel_pos_bias_table`.

  Args:
    table: biases by relative position.
    window: wanted height and width of the window, in places.
  """
  sizes = (2 * window[0] - 1, 2 * window[1] - 1)
  if table.shape[:2] == sizes:
    return table
  rows, columns = (
    _interpolation(old, new) for old, new in zip(table.shape[:2], sizes, strict=True)
  )
  return jnp.einsum("Hh,hwd,Ww->HWd", rows, table, columns, precision=lax.Precision.HIGHEST)


def _interpolation(old: int, new: int) -> Float[np.ndarray, "new old"]:
  """Gives the weights of linear interpolation from `old` places, geometrically apart, to `new`."""
  half = _distances(old // 2, new // 2)
  known = np.concatenate([-half[::-1], [0], half])
  wanted = np.arange(new) - new // 2
  low = np.clip(np.searchsorted(known, wanted, side="right") - 1, 0, max(old - 2, 0))
  high = np.minimum(low + 1, old - 1)
  gap = known[high] - known[low]
  fraction = np.divide(wanted - known[low], gap, out=np.zeros(new), where=gap > 0)
  fraction = np.clip(fraction, 0, 1)
  weights = np.zeros((new, old))
  np.add.at(weights, (np.arange(new), low), 1 - fraction)
  np.add.at(weights, (np.arange(new), high), fraction)
  return weights.astype(np.float32)


def _distances(count: int, reach: int) -> np.ndarray:
  """Gives `count` distances 1, 1 + q, 1 + q + q^2 ...: q such that the last is about `reach`."""
  low, high = 1.01, 1.5
  while high - low > _STEPS:
    q = (low + high) / 2
    if (1 - q**count) / (1 - q) > reach:
      high = q
    else:
      low = q
  return np.cumsum(q ** np.arange(count))
