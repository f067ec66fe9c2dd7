"""This module chooses the library that decodes and resizes images, by name."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from hornet_jax.data.pixels.decode import decode_pixels, decode_pixels_with_pillow
from hornet_jax.data.pixels.pixel_format import RGB, PixelFormat
from hornet_jax.data.pixels.resize import resize, resize_with_pillow
from hornet_jax.errors import unknown_name


@dataclasses.dataclass(frozen=True)
class Imaging:
  """An `Imaging` decodes images to pixels of one format, and resizes these.

  Attributes:
    decode: function like `decode_pixels`, of the content of a file alone.
    resize: function like `resize`, whose result has the channels of the format.
    pixel_format: format of the pixels.
  """

  decode: Callable[[bytes], np.ndarray]
  resize: Callable[..., np.ndarray]
  pixel_format: PixelFormat


IMAGING: dict[str, tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]] = {
  "turbo": (decode_pixels, resize),
  "pillow": (decode_pixels_with_pillow, resize_with_pillow),
}
"""`turbo` is what was measured to be fastest, `pillow` the reference that it equals."""


def get_imaging(name: str, pixel_format: PixelFormat = RGB) -> Imaging:
  """Makes an `Imaging` of an entry of `IMAGING`.

  Args:
    name: name of the library.
    pixel_format: format of the pixels.

  Raises:
    InputError: if there is no such library; the nearest is named.
  """
  if name not in IMAGING:
    raise unknown_name("imaging", name, IMAGING)
  decode, resizing = IMAGING[name]
  return Imaging(
    functools.partial(decode, pixel_format=pixel_format),
    functools.partial(resizing, channels=pixel_format.channels),
    pixel_format,
  )
