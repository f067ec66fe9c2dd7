"""This module turns pixels into what the model takes, on the device, inside the step."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalize(
  images: UInt8[Array, "B H W C"], mean: Sequence[float], std: Sequence[float]
) -> Float[Array, "B H W C"]:
  """Computes (images / 255 - mean) / std per channel, in float32.

  Batches travel to the device as uint8, a quarter of the bytes of float32.
  """
  shape = (1, 1, 1, -1)
  scaled = images.astype(jnp.float32) / 255
  return (scaled - jnp.asarray(mean).reshape(shape)) / jnp.asarray(std).reshape(shape)
