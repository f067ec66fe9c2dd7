"""A batch is described by the fields of one of its rows."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jax.typing import DTypeLike

from hornet_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Field:
  """This describes what one row of a batch has under one name.

  Attributes:
    shape: shape of one row.
    dtype: type of its values.
    pad: the value that fills a row which must not count.
  """

  shape: tuple[int, ...]
  dtype: DTypeLike
  pad: int | float = 0

  def padding(self) -> np.ndarray:
    """Makes a row that must not count."""
    return np.full(self.shape, self.pad, self.dtype)


Schema = Mapping[str, Field]
"""The fields of a batch by their names."""


def image_field(image_size: int, channels: int = 3) -> Field:
  """Describes a square image as it travels to the devices.

  Args:
    image_size: side in pixels.
    channels: number of its channels.
  """
  return Field((image_size, image_size, channels), np.uint8)


def row_bytes(schema: Schema) -> int:
  """Gives the size of a row of a batch, in bytes."""
  return sum(math.prod(one.shape) * np.dtype(one.dtype).itemsize for one in schema.values())


def check_loaded(loaded: Mapping[str, Any], schema: Schema, example: str) -> None:
  """Raises `InputError` where what a task loaded is not what its schema says.

  Args:
    loaded: values by the names of the fields.
    schema: the fields.
    example: words that name the example in the message.
  """
  wrong = [f"{name!r}, which it does not name" for name in sorted(loaded.keys() - schema.keys())]
  for name, field in schema.items():
    if name not in loaded:
      wrong.append(f"no {name!r}")
      continue
    value, expected = np.asarray(loaded[name]), np.dtype(field.dtype)
    if value.shape != field.shape or value.dtype != expected:
      wrong.append(
        f"{name!r} of {value.dtype} {list(value.shape)} in place of {expected} {list(field.shape)}"
      )
  if wrong:
    raise InputError(
      "what a task's `load` returns must be what its `schema` says: expected the fields "
      f"{sorted(schema)}, got {'; '.join(wrong)}, for {example}."
    )


def batch_schema(loaded: Schema) -> dict[str, Field]:
  """Adds what every batch has to what a task loads of an example.

  Args:
    loaded: fields of an example, `image` among them.

  Returns:
    These, `weight`, 0 for a row that must not count, and `index`, the example's number in its
    split, -1 for padding.
  """
  return {**loaded, "weight": Field((), np.float32), "index": Field((), np.int32, pad=-1)}
