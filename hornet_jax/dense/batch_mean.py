"""Losses of the samples of all images are normalised by the number of samples of the batch."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def over_batch(sums: Float[Array, "B"], counts: Int[Array, "B"]) -> Float[Array, "B"]:
  """Gives each image its part of a loss, so that the mean over images is that over all samples.

  loss_i = sums_i * B / max(sum of counts, 1)

  The sum is over the global batch, on however many devices.

  Args:
    sums: sum of the losses of each image's samples.
    counts: number of each image's samples.
  """
  return sums * (len(sums) / jnp.maximum(jnp.sum(counts), 1))
