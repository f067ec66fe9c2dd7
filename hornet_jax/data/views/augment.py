"""This module makes random views of training images, on the host, keyed by the example."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from PIL import Image

from hornet_jax.data.pixels.imaging import Imaging, get_imaging
from hornet_jax.data.pixels.pixel_format import RGB, PixelFormat
from hornet_jax.data.views.eval_view import center_crop
from hornet_jax.data.views.rand_augment import RandAugment
from hornet_jax.errors import InputError, unknown_name
from hornet_jax.wording import counted

Crop = Literal["random_resized", "padded"]
_TRIES = 10


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """An `Augmentation` makes the training view of an image.

  Attributes:
    crop: kind of crop: `"random_resized"` for a random box (`random_resized_crop`), `"padded"` for
      the central square, shifted (`random_pad_crop`).
    crop_scale: smallest and largest area of the random box, shares of the image.
    crop_aspect: smallest and largest width / height of the random box.
    crop_padding: pixels by which the square is shifted at most; 0 for none.
    flip_rate: probability of a horizontal flip.
    rand_augment: timm's notation of a RandAugment, such as `rand-m9-mstd0.5-inc1`; empty
      for none.
    imaging: name of the library that decodes and resizes, see `IMAGING`.
    pixel_format: format of the pixels; C is its number of channels.

  Raises:
    InputError: if there is no such crop, notation or library, or RandAugment is asked for images
      that are not RGB.
  """

  crop: str
  crop_scale: Sequence[float] = (0.08, 1.0)
  crop_aspect: Sequence[float] = (3 / 4, 4 / 3)
  crop_padding: int = 0
  flip_rate: float = 0.0
  rand_augment: str = ""
  imaging: str = "turbo"
  pixel_format: PixelFormat = RGB

  def __post_init__(self) -> None:
    if self.crop not in get_args(Crop):
      raise unknown_name("crop", self.crop, get_args(Crop))
    get_imaging(self.imaging)
    if self.rand_augment and self.pixel_format.channels != RGB.channels:
      raise InputError(
        "`rand_augment` must be empty for other images than RGB: expected '', got "
        f"{self.rand_augment!r} with {counted(self.pixel_format.channels, 'channel')}. Hint: "
        "--config.data.rand_augment=''."
      )
    _ = self._rand_augment

  @property
  def library(self) -> Imaging:
    """Returns what decodes and resizes."""
    return get_imaging(self.imaging, self.pixel_format)

  @functools.cached_property
  def _rand_augment(self) -> RandAugment | None:
    return RandAugment.from_spec(self.rand_augment) if self.rand_augment else None

  def view(self, pixels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Makes the training view: cropped, flipped, augmented.

    Args:
      pixels: image, uint8 [H, W, 4 n], see `decode_pixels`.
      size: side of the result in pixels.
      rng: generator of the example.

    Returns:
      uint8 [size, size, C].
    """
    crop = self._random_resized if self.crop == "random_resized" else self._padded
    view = crop(pixels, size, rng)
    if self._rand_augment is None:
      return view
    return np.asarray(self._rand_augment(Image.fromarray(view), rng))

  def _random_resized(self, pixels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    box = random_box(pixels.shape[:2], self.crop_scale, self.crop_aspect, rng)
    top, left, height, width = box
    part = pixels[top : top + height, left : left + width]
    return self.library.resize(part, size, size, flip=self._flips(rng))

  def _padded(self, pixels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    view = center_crop(pixels, size, size, self.library)
    if self.crop_padding:
      view = random_pad_crop(view, self.crop_padding, rng)
    return np.ascontiguousarray(view[:, ::-1]) if self._flips(rng) else view

  def _flips(self, rng: np.random.Generator) -> bool:
    return self.flip_rate > 0 and rng.random() < self.flip_rate


def random_box(
  image_size: tuple[int, ...],
  scale: Sequence[float],
  aspect: Sequence[float],
  rng: np.random.Generator,
) -> tuple[int, int, int, int]:
  """Draws a random box of an image.

  Its area is uniform in `scale`, its aspect log-uniform in `aspect`. After ten boxes that do not
  fit, it is the largest central one whose aspect is allowed.

  Source: timm 0.4.12 `RandomResizedCropAndInterpolation`.

  Args:
    image_size: (H, W) in pixels.
    scale: smallest and largest share of the image's area.
    aspect: smallest and largest width / height.
    rng: generator of the example.

  Returns:
    Top, left, height and width in pixels.
  """
  full_height, full_width = image_size
  for _ in range(_TRIES):
    area = rng.uniform(scale[0], scale[1]) * full_width * full_height
    ratio = math.exp(rng.uniform(math.log(aspect[0]), math.log(aspect[1])))
    width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
    if 0 < width <= full_width and 0 < height <= full_height:
      left = rng.integers(0, full_width - width, endpoint=True)
      top = rng.integers(0, full_height - height, endpoint=True)
      return int(top), int(left), height, width
  ratio = min(max(full_width / full_height, aspect[0]), aspect[1])
  width = max(min(full_width, round(full_height * ratio)), 1)
  height = max(min(full_height, round(full_width / ratio)), 1)
  return (full_height - height) // 2, (full_width - width) // 2, height, width


def random_pad_crop(image: np.ndarray, padding: int, rng: np.random.Generator) -> np.ndarray:
  """Shifts an image by up to `padding` pixels each way; pixels that come in are black.

  Source: timm 0.4.12 `create_transform` for images of at most 32 pixels
  (RandomCrop with padding 4).

  Args:
    image: image, uint8 [H, W, C].
    padding: pixels added on every side before an H x W window is cut out; >= 0.
    rng: generator of the example.

  Returns:
    uint8 [H, W, C].
  """
  height, width, _ = image.shape
  top, left = rng.integers(0, 2 * padding, size=2, endpoint=True)
  padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
  return padded[top : top + height, left : left + width]
