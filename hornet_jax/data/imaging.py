"""This module chooses the library that decodes and resizes images, by name."""

import dataclasses
from collections.abc import Callable

import numpy as np

from hornet_jax.data.decode import decode_pixels, decode_pixels_with_pillow
from hornet_jax.data.resize import resize, resize_with_pillow
from hornet_jax.errors import unknown_name


@dataclasses.dataclass(frozen=True)
class Imaging:
  """An `Imaging` decodes images to pixels, and resizes these.

  Attributes:
    decode: function like `decode_pixels`.
    resize: function like `resize`.
  """

  decode: Callable[[bytes], np.ndarray]
  resize: Callable[..., np.ndarray]


IMAGING = {
  "turbo": Imaging(decode_pixels, resize),
  "pillow": Imaging(decode_pixels_with_pillow, resize_with_pillow),
}
"""`turbo` is what was measured to be fastest, `pillow` the reference that it equals."""


def get_imaging(name: str) -> Imaging:
  """Returns an entry of `IMAGING`; an `InputError` names the nearest where there is none."""
  if name not in IMAGING:
    raise unknown_name("imaging", name, IMAGING)
  return IMAGING[name]
