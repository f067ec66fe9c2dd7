"""This module turns images of any kind into what a model takes, in one call."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from hornet_jax.data.pixels.arrays import scaled
from hornet_jax.data.pixels.decode import UndecodableImageError, pad_channels, to_image, to_pixels
from hornet_jax.data.pixels.imaging import Imaging
from hornet_jax.data.pixels.normalize import IMAGENET_MEAN, IMAGENET_STD, normalize
from hornet_jax.data.pixels.pixel_format import PixelFormat
from hornet_jax.data.views.eval_view import EvalView
from hornet_jax.errors import InputError

Pixels: TypeAlias = np.ndarray | jax.Array
ImageLike: TypeAlias = str | os.PathLike[str] | bytes | bytearray | Image.Image | Pixels
"""A path, an encoded image, a Pillow image, or pixels [H, W] or [H, W, C] of NumPy, JAX or another
library that offers `__array__`, uint8 or with a largest value that is known."""
_EXPECTED = "a path, an encoded image, a Pillow image or an array of uint8 pixels"


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """A `Preprocessing` makes the inputs of a trained model, and names its classes.

  Attributes:
    view: cropping and resizing.
    mean: mean of each channel, of pixels in [0, 1].
    std: standard deviation of each channel, likewise.
    class_names: names of the classes, in the order of the logits.
  """

  view: EvalView
  mean: Sequence[float]
  std: Sequence[float]
  class_names: Sequence[str] = ()

  def __call__(self, images: ImageLike | Sequence[ImageLike]) -> np.ndarray:
    """Makes the inputs of the model, as `preprocess` does with these values."""
    return _preprocess(images, self.view, self.mean, self.std)


def preprocess(
  images: ImageLike | Sequence[ImageLike],
  *,
  image_size: int = 224,
  crop_fraction: float = 0.875,
  warp: bool = False,
  mean: Sequence[float] = IMAGENET_MEAN,
  std: Sequence[float] = IMAGENET_STD,
  max_value: float = 0.0,
) -> np.ndarray:
  """Makes the normalised evaluation view of images, float32 [N, S, S, C].

  Args:
    images: image or sequence of images; see `ImageLike`. An array of four axes is a
      sequence.
    image_size: side S in pixels.
    crop_fraction: fraction of the short side that is kept, see `EvalView`.
    warp: whether the whole image is resized to a square, see `EvalView`.
    mean: mean of each of the C channels, of pixels in [0, 1].
    std: standard deviation of each channel, likewise.
    max_value: largest value of images of more than 8 bits, see `PixelFormat`.

  Raises:
    InputError: if an image cannot be read.
  """
  pixel_format = PixelFormat(len(mean), max_value)
  view = EvalView(image_size, crop_fraction, warp, pixel_format=pixel_format)
  return _preprocess(images, view, mean, std)


def _preprocess(
  images: ImageLike | Sequence[ImageLike],
  view: EvalView,
  mean: Sequence[float],
  std: Sequence[float],
) -> np.ndarray:
  if _is_array(images):
    images = np.asarray(images)
    one = images.ndim < 4
  else:
    one = isinstance(images, str | os.PathLike | bytes | bytearray | Image.Image)
  if not one and not isinstance(images, Iterable):
    raise InputError(f"`images` must be {_EXPECTED}, or a sequence of such: got {type(images)}.")
  views = [
    view(_pixels_of(image, view.library))
    for image in ([images] if one else images)  # type: ignore[union-attr]
  ]
  if not views:
    raise InputError("`images` must hold an image: expected at least one, got none.")
  return np.asarray(normalize(jnp.stack(views), mean, std))


def _pixels_of(image: ImageLike, library: Imaging) -> np.ndarray:
  """Returns the pixels of an image of any kind, uint8 [H, W, 4], see `decode_pixels`."""
  name = f"image {os.fspath(image)!r}" if isinstance(image, str | os.PathLike) else "`images`"
  try:
    if isinstance(image, str | os.PathLike):
      return library.decode(pathlib.Path(image).read_bytes())
    if isinstance(image, bytes | bytearray):
      return library.decode(bytes(image))
    return _from_pixels(image, library.pixel_format)
  except (OSError, ValueError, UndecodableImageError) as error:
    raise InputError(f"{name} cannot be read: {error}") from error


def _is_array(image: object) -> bool:
  """Returns whether it is an array of any library, and not a Pillow image, which can act as one."""
  return hasattr(image, "__array__") and not isinstance(image, Image.Image)


def _from_pixels(image: Image.Image | Pixels, pixel_format: PixelFormat) -> np.ndarray:
  if isinstance(image, Image.Image) and pixel_format.mode:
    return to_pixels(to_image(image, pixel_format))
  if not _is_array(image) and not isinstance(image, Image.Image):
    raise ValueError(f"expected {_EXPECTED}, got {type(image)}")
  values = np.asarray(image)
  values = values[..., None] if values.ndim == 2 else values
  if values.ndim != 3 or not values.size:
    raise ValueError(f"expected pixels [H, W] or [H, W, C], got {values.dtype} {values.shape}")
  return pad_channels(scaled(values, pixel_format))
