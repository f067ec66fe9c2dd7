"""All blocks share these layers: norm, depthwise convolution, layer scale, MLP, drop path."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from hornet_jax.models.dense import Dense, halves, kernel_init
from hornet_jax.models.execution import Execution
from hornet_jax.ops import depthwise_conv, gelu, layer_norm
from hornet_jax.ops.layer_norm import EPSILON


class LayerNorm(nn.Module):
  """A `LayerNorm` norms over channels, see `hornet_jax.ops.layer_norm`.

  Attributes:
    execution: the way in which it is computed. The input is cast to `execution.dtype`, which is
      the type of the result too; statistics are float32.
    epsilon: number that is added to the variance.
    halved: whether the input's channels come in the order of `hornet_jax.models.dense.halves`;
      the stored parameters keep their own order.
  """

  execution: Execution = Execution()
  epsilon: float = EPSILON
  halved: bool = False

  @nn.compact
  def __call__(self, x: Float[Array, "*batch C"]) -> Float[Array, "*batch C"]:
    scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
    bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
    if self.halved:
      scale, bias = halves(scale, 0), halves(bias, 0)
    return layer_norm(x.astype(self.execution.dtype), scale, bias, self.epsilon)


class DepthwiseConv(nn.Module):
  """A `DepthwiseConv` filters each channel by its own kernel: stride 1, zero padding, same size.

  Attributes:
    size: sides of the kernel (kh, kw), both odd.
    use_bias: whether a bias is added.
    execution: the way in which it is computed.
  """

  size: tuple[int, int]
  use_bias: bool = True
  execution: Execution = Execution()

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    channels = x.shape[-1]
    kernel = self.param("kernel", kernel_init, (*self.size, 1, channels))
    dtype = self.execution.dtype
    y = depthwise_conv(x.astype(dtype), kernel.astype(dtype), self.execution.depthwise)
    if self.use_bias:
      bias = self.param("bias", nn.initializers.zeros, (channels,))
      y += bias.astype(dtype)[None, None, None]
    return y


class LayerScale(nn.Module):
  """A `LayerScale` multiplies each channel by a learned factor, and each example by a given one.

  The factors of the examples are those of drop path. All is one product, so that the backward
  pass needs `x` alone.

  Source: gamma1 and gamma2 of the official Block.

  Attributes:
    init: the initial factor of every channel; 1e-6 in the paper's models.
    execution: the way in which it is computed.
  """

  init: float
  execution: Execution = Execution()

  @nn.compact
  def __call__(
    self, x: Float[Array, "B *grid C"], factors: Float[Array, "B"] | None = None
  ) -> Float[Array, "B *grid C"]:
    scale = self.param("scale", nn.initializers.constant(self.init), x.shape[-1:])
    scale = jnp.expand_dims(scale, tuple(range(x.ndim - 1)))  # [1, 1, 1, C]
    if factors is not None:
      scale = scale * _per_example(factors, x)  # [B, 1, 1, C]
    return x * scale.astype(self.execution.dtype)


class Mlp(nn.Module):
  """An `Mlp` computes fc2(GELU(fc1(x))) with the exact (erf) GELU.

  Source: pwconv1, pwconv2 of the official Block.

  Attributes:
    hidden_dim: width between the two layers; 4 C in most models.
    execution: the way in which it is computed.
  """

  hidden_dim: int
  execution: Execution = Execution()

  @nn.compact
  def __call__(self, x: Float[Array, "*batch C"]) -> Float[Array, "*batch C"]:
    fc1 = Dense(self.hidden_dim, self.execution, name="fc1")
    fc2 = Dense(x.shape[-1], self.execution, name="fc2")
    return fc2(gelu(fc1(x)))


def drop_path_rates(rate: float, depths: Sequence[int]) -> list[float]:
  """Gives the drop probability of each block, counted through all stages.

  They are linspace(0, rate, sum(depths)): the first block is never dropped, the last with
  probability `rate`.

  Source: arXiv 1603.09382, linear decay rule; official `HorNet.__init__`.
  """
  return [float(r) for r in np.linspace(0, rate, sum(depths))]


def drop_path_factors(keys: Key[Array, "B"], rates: Sequence[float]) -> Float[Array, "blocks 2 B"]:
  """Draws the factor of each residual branch of each example: 0 or 1 / (1 - p).

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
  x: Float[Array, "B *grid C"], factors: Float[Array, "B"] | None
) -> Float[Array, "B *grid C"]:
  """Scales the branch of each example by its factor (stochastic depth); None keeps all."""
  if factors is None:
    return x
  return x * _per_example(factors.astype(x.dtype), x)


def _per_example(factors: Array, x: Array) -> Array:
  """Reshapes factors [B] to as many axes as `x` has."""
  return jnp.expand_dims(factors, tuple(range(1, x.ndim)))
