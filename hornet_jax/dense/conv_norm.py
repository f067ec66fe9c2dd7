"""A convolution, batch normalization and ReLU: what heads for dense prediction are made of."""

import flax.linen as nn
import jax
from jaxtyping import Array, Bool, Float

from hornet_jax.models.execution import Execution


def batch_norm(execution: Execution, train: bool) -> nn.BatchNorm:
  """Makes a norm of each channel by its mean and variance over the whole batch.

  The batch is the global one, on however many devices: XLA sums over all of them, as
  synchronised batch normalization does. Where gradients are accumulated it is one micro-batch;
  rows of weight 0 count as well.

  Source: torch `nn.SyncBatchNorm`, epsilon 1e-5.
  Deviation: the stored variance is the biased one, divided by n; PyTorch stores the unbiased one.

  Args:
    execution: the way in which it is computed; statistics are float32.
    train: whether the statistics are those of the batch, which move the stored ones.
  """
  return nn.BatchNorm(
    use_running_average=not train,
    momentum=0.9,
    epsilon=1e-5,
    dtype=execution.dtype,
    use_fast_variance=False,
    name="bn",
  )


class ConvNorm(nn.Module):
  """A `ConvNorm` is a convolution without bias, batch normalization and ReLU.

  Source: `ConvModule` of mmcv, as the official segmentation configs use it.

  Attributes:
    features: width D of the result.
    size: side of the kernel, odd; stride 1, zero padding, same grid.
    execution: the way in which it is computed.
  """

  features: int
  size: int = 1
  execution: Execution = Execution()

  @nn.compact
  def __call__(
    self, x: Float[Array, "B H W C"], train: bool, valid: Bool[Array, "B"] | None = None
  ) -> Float[Array, "B H W D"]:
    """Applies all three; with `train` by the statistics of this batch, or of its `valid` rows."""
    conv = nn.Conv(
      self.features,
      (self.size, self.size),
      use_bias=False,
      dtype=self.execution.dtype,
      kernel_init=nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
      name="conv",
    )
    counted = None if valid is None else valid[:, None, None, None]
    return jax.nn.relu(batch_norm(self.execution, train)(conv(x), mask=counted))
