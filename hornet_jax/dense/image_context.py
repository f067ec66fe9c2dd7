"""What a detector is told of images besides their pixels: sizes, and objects to learn from."""

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hornet_jax.dense.regions import Objects
from hornet_jax.errors import InputError

_OBJECTS = Objects._fields


def read_size(
  context: Mapping[str, Array] | None, finest: Float[Array, "B h w C"], stride: int
) -> Int[Array, "B 2"]:
  """Gives height and width of each image within the canvas; those of the canvas by default.

  Args:
    context: arrays by their names, of which `size` is read.
    finest: finest feature map, which covers the canvas.
    stride: pixels from one of its positions to the next.

  Raises:
    InputError: if there is a context without `size`.
  """
  batch, height, width = finest.shape[:3]
  if context is None:
    return jnp.tile(jnp.array([[height * stride, width * stride]], jnp.int32), (batch, 1))
  if "size" not in context:
    raise InputError(
      f"`context` must tell the `size` of each image: got {', '.join(context) or 'nothing'}."
    )
  return context["size"]


def read_objects(context: Mapping[str, Array] | None) -> Objects:
  """Gives the objects of each image, which training cannot do without.

  Args:
    context: arrays by their names, of which `boxes`, `labels` and `masks` are read.

  Raises:
    InputError: if one of them is missing.
  """
  told = context or {}
  if missing := [name for name in _OBJECTS if name not in told]:
    raise InputError(
      f"`context` must tell the objects to train a detector: expected {', '.join(_OBJECTS)}, "
      f"missing {', '.join(missing)}. Hint: an image without objects has labels of -1 alone."
    )
  return Objects(*(told[name] for name in _OBJECTS))
