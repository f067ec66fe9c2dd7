"""Small parts that every block shares."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from hornet_jax.models.dense import Dense, halves, kernel_init
from hornet_jax.ops import depthwise_conv, gelu, layer_norm


class LayerNorm(nn.Module):
  """LayerNorm over channels, see `hornet_jax.ops.layer_norm`.

  Attributes:
    dtype: of the input, which is cast to it, and the result; statistics are float32.
    halved: whether the input comes in the order of `halves`; the parameters keep their own.
  """

  dtype: DTypeLike = jnp.float32
  halved: bool = False

  @nn.compact
  def __call__(self, x: Float[Array, "*batch C"]) -> Float[Array, "*batch C"]:
    scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
    bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
    if self.halved:
      scale, bias = halves(scale, 0), halves(bias, 0)
    return layer_norm(x.astype(self.dtype), scale, bias)


class DepthwiseConv(nn.Module):
  """One filter per channel, stride 1, zero padding, same size.

  Attributes:
    size: (kh, kw), both odd.
    use_bias: whether a bias is added.
    implementation: see `hornet_jax.ops.depthwise_conv`.
    dtype: type of the computation.
  """

  size: tuple[int, int]
  use_bias: bool = True
  implementation: str = "auto"
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    channels = x.shape[-1]
    kernel = self.param("kernel", kernel_init, (*self.size, 1, channels))
    y = depthwise_conv(x.astype(self.dtype), kernel.astype(self.dtype), self.implementation)
    if self.use_bias:
      bias = self.param("bias", nn.initializers.zeros, (channels,))
      y += bias.astype(self.dtype)[None, None, None]
    return y


class LayerScale(nn.Module):
  """Multiplies each channel by a learned factor, and each example by that of its drop path.

  In one product, so that the backward pass needs `x` alone.

  Source: gamma1 and gamma2 of the official Block.

  Attributes:
    init: the initial factor of every channel; 1e-6 in the paper's models.
    dtype: type of the computation.
  """

  init: float
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, x: Float[Array, "B H W C"], factors: Float[Array, "B"] | None = None
  ) -> Float[Array, "B H W C"]:
    scale = self.param("scale", nn.initializers.constant(self.init), x.shape[-1:])
    scale = scale[None, None, None]  # [1, 1, 1, C]
    if factors is not None:
      scale = scale * factors[:, None, None, None]  # [B, 1, 1, C]
    return x * scale.astype(self.dtype)


class Mlp(nn.Module):
  """fc2(GELU(fc1(x))) with the exact (erf) GELU.

  Source: pwconv1, pwconv2 of the official Block.

  Attributes:
    hidden_dim: width between the two layers; 4 C in every HorNet.
    dtype: type of the computation.
    gradient_sum: see `HorNet`.
  """

  hidden_dim: int
  dtype: DTypeLike = jnp.float32
  gradient_sum: str = "compute"

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    fc1 = Dense(self.hidden_dim, self.dtype, self.gradient_sum, name="fc1")
    fc2 = Dense(x.shape[-1], self.dtype, self.gradient_sum, name="fc2")
    return fc2(gelu(fc1(x)))


def drop_path_rates(rate: float, depths: Sequence[int]) -> list[float]:
  """Drop probability of each block, counted through all stages.

  linspace(0, rate, sum(depths)): the first block is never dropped, the last with
  probability `rate`.

  Source: arXiv 1603.09382, linear decay rule; official `HorNet.__init__`.
  """
  return [float(r) for r in np.linspace(0, rate, sum(depths))]


def drop_path_factors(keys: Key[Array, "B"], rates: Sequence[float]) -> Float[Array, "blocks 2 B"]:
  """What multiplies each residual branch of each example: 0 or 1 / (1 - p).

  Both branches of a block share p and draw independently. A draw depends only on
  the example's own key and the block's number: not on the batch it stands in, the
  mesh, scan or remat.

  Args:
    keys: one random key per example.
    rates: drop probability p of every block, in [0, 1).

  Returns:
    Factors whose expectation over keys is 1.
  """
  p = jnp.asarray(rates, jnp.float32)[:, None]  # [blocks, 1]

  def of_example(key):
    keep = jax.random.uniform(key, (len(rates), 2)) >= p
    return keep / (1 - p)

  return jnp.moveaxis(jax.vmap(of_example)(keys), 0, -1)  # [blocks, 2, B]


def drop_path(
  x: Float[Array, "B H W C"], factors: Float[Array, "B"] | None
) -> Float[Array, "B H W C"]:
  """Stochastic depth: scales the branch of each example by its factor; None keeps all."""
  if factors is None:
    return x
  return x * factors.astype(x.dtype)[:, None, None, None]
