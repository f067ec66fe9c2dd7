"""The library that decodes and resizes images, by name."""

import dataclasses
from collections.abc import Callable

import numpy as np

from hornet_jax.data.decode import decode_pixels, decode_pixels_with_pillow
from hornet_jax.data.resize import resize, resize_with_pillow
from hornet_jax.errors import unknown_name


@dataclasses.dataclass(frozen=True)
class Imaging:
  """How encoded images become pixels, and pixels other sizes.

  Attributes:
    decode: see `decode_pixels`.
    resize: see `resize`.
  """

  decode: Callable[[bytes], np.ndarray]
  resize: Callable[..., np.ndarray]


IMAGING = {
  "turbo": Imaging(decode_pixels, resize),
  "pillow": Imaging(decode_pixels_with_pillow, resize_with_pillow),
}
"""`turbo` is what was measured to be fastest, `pillow` the reference that it equals."""


def get_imaging(name: str) -> Imaging:
  """The entry of `IMAGING`; an `InputError` names the nearest where there is none."""
  if name not in IMAGING:
    raise unknown_name("imaging", name, IMAGING)
  return IMAGING[name]
