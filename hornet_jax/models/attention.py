"""Self-attention mixes all positions of a grid, or those inside of windows."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hornet_jax.errors import InputError
from hornet_jax.models.api import AnyArray
from hornet_jax.models.dense import Dense
from hornet_jax.models.execution import Execution
from hornet_jax.models.relative_bias import make_bias, resize_relative_bias

_MASKED = -100.0  # Source: official swin_transformer.py, `attn_mask`.


class Attention(nn.Module):
  """An `Attention` is multi-head self-attention over all positions.

  q, k, v = split(qkv(x)); out = proj(softmax(q k^T / sqrt(D)) v), in heads of width D. The
  softmax is float32.

  Source: arXiv 1706.03762 section 3.2; arXiv 2010.11929; timm, layers/attention.py, `Attention`.

  Attributes:
    num_heads: number of heads, a divisor of the width C.
    execution: the way in which it is computed.
  """

  num_heads: int
  execution: Execution = Execution()

  @nn.compact
  def __call__(self, x: Float[Array, "B *grid C"]) -> Float[Array, "B *grid C"]:
    tokens = x.reshape(x.shape[0], -1, x.shape[-1])  # [B, N, C]
    return _attend(tokens, self.num_heads, self.execution).reshape(x.shape)


class WindowAttention(nn.Module):
  """A `WindowAttention` is self-attention inside of windows, with biases by relative position.

  Positions are cut into windows of `window` x `window`, moved by `shift` first: what the move
  brings together from opposite sides of the grid does not see each other. A grid that no number
  of windows fills is padded with zeros, which do take part. On a grid that is no larger than the
  window there is one window of its size and no shift, and the table of biases is resized.

  Source: arXiv 2103.14030 section 3.2; official swin_transformer.py, `WindowAttention` and
  `SwinTransformerBlock`; padding before the shift as in the official Swin-Transformer-Object-
  Detection (timm pads behind it); smaller windows as in timm.
  Deviation: the table of biases is stored as [2 w - 1, 2 w - 1, heads].

  Attributes:
    num_heads: number of heads, a divisor of the width C.
    window: side w of the windows.
    shift: number of positions by which they are moved, less than `window`.
    execution: the way in which it is computed.
  """

  num_heads: int
  window: int = 7
  shift: int = 0
  execution: Execution = Execution()

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    side = 2 * self.window - 1
    init = nn.initializers.normal(0.02)
    table = self.param("relative_bias", init, (side, side, self.num_heads))
    height, width = x.shape[1:3]
    window = min(self.window, height), min(self.window, width)
    shift = (self.shift if height > window[0] else 0, self.shift if width > window[1] else 0)
    bias = make_bias(resize_relative_bias(table, window))  # [heads, N, N]
    padding = ((0, 0), (0, -height % window[0]), (0, -width % window[1]), (0, 0))
    moved = jnp.roll(jnp.pad(x, padding), (-shift[0], -shift[1]), (1, 2))
    grid = moved.shape[1], moved.shape[2]
    bias = bias[None] + _mask(grid, window, shift)[:, None]  # [windows, heads, N, N]
    mixed = _attend(_to_windows(moved, window), self.num_heads, self.execution, bias)
    mixed = jnp.roll(_from_windows(mixed, grid, window), shift, (1, 2))
    return mixed[:, :height, :width]


def _attend(
  x: AnyArray, num_heads: int, execution: Execution, bias: Float[Array, "w h N N"] | None = None
) -> Array:
  """Applies attention to tokens [B, N, C], or [B, windows, N, C] with a bias for each window.

  The linear layers become parts of the module whose compact method calls this.
  """
  channels = x.shape[-1]
  if channels % num_heads:
    raise InputError(
      f"`num_heads` must divide the width: expected a divisor of {channels}, got {num_heads}."
    )
  qkv = Dense(3 * channels, execution, name="qkv")(x)
  q, k, v = jnp.unstack(qkv.reshape(*x.shape[:-1], 3, num_heads, -1), axis=-3)
  attend = jax.nn.dot_product_attention
  if bias is None:
    mixed = attend(q, k, v)
  else:
    mixed = jax.vmap(lambda q, k, v: attend(q, k, v, bias))(q, k, v)
  return Dense(channels, execution, name="proj")(mixed.reshape(x.shape))


@functools.lru_cache
def _mask(
  grid: tuple[int, int], window: tuple[int, int], shift: tuple[int, int]
) -> Float[np.ndarray, "windows N N"]:
  """Gives what is added where two positions of a window came from opposite sides of the grid."""
  if not any(shift):
    return np.zeros((1, 1, 1), np.float32)
  # Only the last window of an axis holds positions of two sides.
  sides = [
    np.arange(size) >= size - moved if moved else np.zeros(size, bool)
    for size, moved in zip(grid, shift, strict=True)
  ]
  regions = 2 * sides[0][:, None] + sides[1][None]  # [H, W]
  regions = _to_windows(regions[None, ..., None], window)[0, ..., 0]  # [windows, N]
  same = regions[:, :, None] == regions[:, None]
  return np.where(same, 0, _MASKED).astype(np.float32)


def _to_windows(x: AnyArray, window: tuple[int, int]) -> AnyArray:
  """Cuts a grid into windows: [B, H, W, C] to [B, windows, N, C]."""
  batch, height, width, channels = x.shape
  rows, columns = window
  x = x.reshape(batch, height // rows, rows, width // columns, columns, channels)
  return x.swapaxes(2, 3).reshape(batch, -1, rows * columns, channels)


def _from_windows(x: Array, grid: tuple[int, int], window: tuple[int, int]) -> Array:
  """Undoes `_to_windows`."""
  (height, width), (rows, columns) = grid, window
  x = x.reshape(x.shape[0], height // rows, width // columns, rows, columns, x.shape[-1])
  return x.swapaxes(2, 3).reshape(x.shape[0], height, width, -1)
