"""Patch convolutions shrink the grid: in the stem and between stages."""

import flax.linen as nn
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from hornet_jax.models.api import AnyArray
from hornet_jax.models.dense import kernel_init
from hornet_jax.models.execution import Execution
from hornet_jax.models.layers import LayerNorm
from hornet_jax.ops.layer_norm import EPSILON


class Stem(nn.Module):
  """The stem embeds patches: a convolution of side and stride `patch_size`, then a norm, if any."""

  dim: int
  patch_size: int
  norm: bool = True
  epsilon: float = EPSILON
  execution: Execution = Execution()

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w D"]:
    x = _patch_conv(self.dim, self.patch_size, self.execution.dtype)(x)  # [B, h, w, D]
    return LayerNorm(self.execution, self.epsilon, name="norm")(x) if self.norm else x


def adapt_stem(kernel: Float[AnyArray, "p p I D"], channels: int) -> Float[AnyArray, "p p C D"]:
  """Makes a stem's kernels for images of another number of channels.

  For one channel the kernels of all are summed, so that a grey image gives what it gave as RGB.
  For more, they are repeated in turn and scaled by I / C.

  Source: timm `adapt_input_conv`.

  Args:
    kernel: kernels of I channels.
    channels: wanted number C.
  """
  given = kernel.shape[2]
  if channels == 1:
    return kernel.sum(axis=2, keepdims=True)
  return kernel[:, :, np.arange(channels) % given] * (given / channels)


class Downsample(nn.Module):
  """A `Downsample` applies the norm, then a 2x2 convolution of stride 2 to width `dim`."""

  dim: int
  execution: Execution = Execution()

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w D"]:
    x = LayerNorm(self.execution, name="norm")(x)
    return _patch_conv(self.dim, 2, self.execution.dtype)(x)


def _patch_conv(dim: int, size: int, dtype: DTypeLike) -> nn.Conv:
  return nn.Conv(
    dim, (size, size), (size, size), "VALID", dtype=dtype, kernel_init=kernel_init, name="conv"
  )
