"""Images of any kind to what a model takes, in one call."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from hornet_jax.data.decode import UndecodableImageError, decode_pixels, to_pixels, to_rgb
from hornet_jax.data.eval_view import EvalView
from hornet_jax.data.normalize import IMAGENET_MEAN, IMAGENET_STD, normalize
from hornet_jax.errors import InputError

Pixels: TypeAlias = np.ndarray | jax.Array
ImageLike: TypeAlias = str | os.PathLike[str] | bytes | bytearray | Image.Image | Pixels
"""A path, an encoded image, a Pillow image, or uint8 pixels [H, W], [H, W, 1] or [H, W, 3] of
NumPy, JAX or another library that offers `__array__`."""
_EXPECTED = "a path, an encoded image, a Pillow image or an array of uint8 pixels"


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """How a trained model wants its images, and what it calls its classes.

  Attributes:
    view: cropping and resizing.
    mean: of each channel, pixels in [0, 1].
    std: likewise.
    class_names: in the order of the logits.
  """

  view: EvalView
  mean: Sequence[float]
  std: Sequence[float]
  class_names: Sequence[str] = ()

  def __call__(self, images: ImageLike | Sequence[ImageLike]) -> np.ndarray:
    """`preprocess` with these values."""
    return _preprocess(images, self.view, self.mean, self.std)


def preprocess(
  images: ImageLike | Sequence[ImageLike],
  *,
  image_size: int = 224,
  crop_fraction: float = 0.875,
  warp: bool = False,
  mean: Sequence[float] = IMAGENET_MEAN,
  std: Sequence[float] = IMAGENET_STD,
) -> np.ndarray:
  """The evaluation view of images, normalised: float32 [N, S, S, 3].

  Args:
    images: one image or a sequence of them; see `ImageLike`. An array of four axes is a
      sequence.
    image_size: S in pixels.
    crop_fraction: see `EvalView`.
    warp: see `EvalView`.
    mean: of each channel, pixels in [0, 1].
    std: likewise.

  Raises:
    InputError: if an image cannot be read, or is no image.
  """
  return _preprocess(images, EvalView(image_size, crop_fraction, warp), mean, std)


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
    view(_pixels_of(image))
    for image in ([images] if one else images)  # type: ignore[union-attr]
  ]
  if not views:
    raise InputError("`images` must hold an image: expected at least one, got none.")
  return np.asarray(normalize(jnp.stack(views), mean, std))


def _pixels_of(image: ImageLike) -> np.ndarray:
  """uint8 [H, W, 4], see `decode_pixels`."""
  name = f"image {os.fspath(image)!r}" if isinstance(image, str | os.PathLike) else "`images`"
  try:
    if isinstance(image, str | os.PathLike):
      return decode_pixels(pathlib.Path(image).read_bytes())
    if isinstance(image, bytes | bytearray):
      return decode_pixels(bytes(image))
    return to_pixels(to_rgb(_from_pixels(image)))
  except (OSError, ValueError, UndecodableImageError) as error:
    raise InputError(f"{name} cannot be read: {error}") from error


def _is_array(image: object) -> bool:
  """Whether it is an array of any library; Pillow images offer themselves as one too."""
  return hasattr(image, "__array__") and not isinstance(image, Image.Image)


def _from_pixels(image: Image.Image | Pixels) -> Image.Image:
  if isinstance(image, Image.Image):
    return image
  if not _is_array(image):
    raise ValueError(f"expected {_EXPECTED}, got {type(image)}")
  image = np.asarray(image)
  pixels = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
  fits = pixels.ndim in (2, 3) and pixels.shape[2:] in ((), (3,)) and pixels.size
  if pixels.dtype != np.uint8 or not fits:
    raise ValueError(
      f"expected uint8 pixels [H, W], [H, W, 1] or [H, W, 3], got {image.dtype} {image.shape}"
    )
  return Image.fromarray(pixels)
