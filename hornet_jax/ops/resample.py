"""Feature maps change their grid: resizing and averaging over bins, as PyTorch has them.

All shapes are static, and so are the weights. What is enlarged bilinearly by a whole factor is a
sum of shifted copies; any other mean is two products with small matrices.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float


def resize_bilinear(x: Float[Array, "B h w C"], size: tuple[int, int]) -> Float[Array, "B H W C"]:
  """Resizes bilinearly between the centres of pixels, without a filter against aliasing.

  Where s positions become S, position i of the result lies at (i + 1/2) s / S - 1/2 of the source;
  beyond the outermost centres the value is theirs.

  Source: torch `F.interpolate(mode="bilinear", align_corners=False)`.

  Args:
    x: feature maps.
    size: wanted height and width (H, W).
  """
  for axis, target in zip((1, 2), size, strict=True):
    x = _resize_axis(x, axis, target)
  return x


def resize_nearest(x: Float[Array, "B h w C"], size: tuple[int, int]) -> Float[Array, "B H W C"]:
  """Resizes by copies: where s positions become S, position i of the result is floor(i s / S).

  Source: torch `F.interpolate(mode="nearest")`; `jax.image.resize` takes another position where
  S is no multiple of s.

  Args:
    x: feature maps.
    size: wanted height and width (H, W).
  """
  for axis, target in zip((1, 2), size, strict=True):
    source = x.shape[axis]
    if target % source == 0:
      x = jnp.repeat(x, target // source, axis)  # no gather, whose gradient is a scatter
    else:
      x = jnp.take(x, np.arange(target) * source // target, axis)
  return x


def average_bins(x: Float[Array, "B h w C"], bins: int) -> Float[Array, "B n n C"]:
  """Averages over n x n bins, which overlap where n does not divide the grid.

  Bin k of s positions goes from floor(k s / n) to ceil((k + 1) s / n).

  Source: torch `nn.AdaptiveAvgPool2d`.

  Args:
    x: feature maps.
    bins: number n of bins along each side.
  """
  for axis in (1, 2):
    x = _weigh_axis(x, axis, _bin_weights(x.shape[axis], bins))
  return x


def _resize_axis(x: Array, axis: int, target: int) -> Array:
  source = x.shape[axis]
  if target == source:
    return x
  if source > 1 and target % source == 0:
    return _enlarge_axis(x, axis, target // source)
  return _weigh_axis(x, axis, _linear_weights(source, target))


def _enlarge_axis(x: Array, axis: int, factor: int) -> Array:
  """Enlarges one axis by a whole factor: position f i + k lies between i and a neighbour of it."""
  last = x.shape[axis]
  before = jnp.concatenate(
    [lax.slice_in_dim(x, 0, 1, axis=axis), lax.slice_in_dim(x, 0, last - 1, axis=axis)], axis
  )
  after = jnp.concatenate(
    [lax.slice_in_dim(x, 1, last, axis=axis), lax.slice_in_dim(x, last - 1, last, axis=axis)], axis
  )
  phases = []
  for k in range(factor):
    offset = (k + 0.5) / factor - 0.5
    neighbour = before if offset < 0 else after
    phases.append((1 - abs(offset)) * x + abs(offset) * neighbour)
  joined = jnp.stack(phases, axis + 1)
  return joined.reshape(*x.shape[:axis], factor * last, *x.shape[axis + 1 :])


def _weigh_axis(x: Array, axis: int, weights: np.ndarray) -> Array:
  """Makes each position of an axis a weighted sum: `weights` are [target, source]."""
  product = lax.dot_general(
    weights.astype(x.dtype), x, (((1,), (axis,)), ((), ())), precision=lax.Precision.HIGHEST
  )
  return jnp.moveaxis(product, 0, axis)


def _linear_weights(source: int, target: int) -> np.ndarray:
  positions = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
  low = np.floor(positions).astype(int)
  fraction = positions - low
  weights = np.zeros((target, source))
  np.add.at(weights, (np.arange(target), low), 1 - fraction)
  np.add.at(weights, (np.arange(target), np.minimum(low + 1, source - 1)), fraction)
  return weights


def _bin_weights(source: int, bins: int) -> np.ndarray:
  weights = np.zeros((bins, source))
  for k in range(bins):
    begin, end = k * source // bins, -(-(k + 1) * source // bins)
    weights[k, begin:end] = 1 / (end - begin)
  return weights
