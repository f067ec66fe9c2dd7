"""Random views of a training image, on the host, keyed by the example."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from PIL import Image

from hornet_jax.data.decode import resize_and_center_crop
from hornet_jax.errors import unknown_name

Crop = Literal["random_resized", "padded"]
_TRIES = 10


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """What makes the training view of an image.

  Attributes:
    crop: `"random_resized"` for a random box (`random_resized_crop`), `"padded"` for
      the central square, shifted (`random_pad_crop`).
    crop_scale: smallest and largest area of the random box, shares of the image.
    crop_aspect: smallest and largest width / height of the random box.
    crop_padding: pixels by which the square is shifted at most; 0 for none.
    flip_rate: probability of a horizontal flip.

  Raises:
    InputError: if there is no such crop.
  """

  crop: str
  crop_scale: Sequence[float] = (0.08, 1.0)
  crop_aspect: Sequence[float] = (3 / 4, 4 / 3)
  crop_padding: int = 0
  flip_rate: float = 0.0

  def __post_init__(self) -> None:
    if self.crop not in get_args(Crop):
      raise unknown_name("crop", self.crop, get_args(Crop))

  def view(self, image: Image.Image, size: int, rng: np.random.Generator) -> np.ndarray:
    """The training view, uint8 [size, size, 3], drawn from the example's generator."""
    if self.crop == "random_resized":
      pixels = random_resized_crop(image, size, self.crop_scale, self.crop_aspect, rng)
    else:
      pixels = resize_and_center_crop(image, size, 1.0)
      if self.crop_padding:
        pixels = random_pad_crop(pixels, self.crop_padding, rng)
    flipped = self.flip_rate > 0 and rng.random() < self.flip_rate
    return np.ascontiguousarray(pixels[:, ::-1]) if flipped else pixels


def random_resized_crop(
  image: Image.Image,
  size: int,
  scale: Sequence[float],
  aspect: Sequence[float],
  rng: np.random.Generator,
) -> np.ndarray:
  """A random box of the image, resized to a square: bicubic, antialiased.

  Area uniform in `scale`, aspect log-uniform in `aspect`. After ten boxes that do not fit,
  the largest central one whose aspect is allowed.

  Source: timm 0.4.12 `RandomResizedCropAndInterpolation`.

  Args:
    image: RGB image of any size.
    size: side of the result in pixels.
    scale: smallest and largest share of the image's area.
    aspect: smallest and largest width / height.
    rng: the example's generator.

  Returns:
    uint8 [size, size, 3].
  """
  left, top, width, height = _random_box(image.size, scale, aspect, rng)
  box = image.crop((left, top, left + width, top + height))
  return np.asarray(box.resize((size, size), Image.Resampling.BICUBIC))


def _random_box(
  image_size: tuple[int, int],
  scale: Sequence[float],
  aspect: Sequence[float],
  rng: np.random.Generator,
) -> tuple[int, int, int, int]:
  """Left, top, width and height in pixels."""
  full_width, full_height = image_size
  for _ in range(_TRIES):
    area = rng.uniform(scale[0], scale[1]) * full_width * full_height
    ratio = math.exp(rng.uniform(math.log(aspect[0]), math.log(aspect[1])))
    width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
    if 0 < width <= full_width and 0 < height <= full_height:
      left = rng.integers(0, full_width - width, endpoint=True)
      top = rng.integers(0, full_height - height, endpoint=True)
      return int(left), int(top), width, height
  ratio = min(max(full_width / full_height, aspect[0]), aspect[1])
  width = max(min(full_width, round(full_height * ratio)), 1)
  height = max(min(full_height, round(full_width / ratio)), 1)
  return (full_width - width) // 2, (full_height - height) // 2, width, height


def random_pad_crop(image: np.ndarray, padding: int, rng: np.random.Generator) -> np.ndarray:
  """Shifts an image by up to `padding` pixels each way; what comes in is black.

  Source: timm 0.4.12 `create_transform` for images of at most 32 pixels
  (RandomCrop with padding 4).

  Args:
    image: uint8 [H, W, C].
    padding: pixels added on every side before an H x W window is cut out; >= 0.
    rng: the example's generator.

  Returns:
    uint8 [H, W, C].
  """
  height, width, _ = image.shape
  top, left = rng.integers(0, 2 * padding, size=2, endpoint=True)
  padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
  return padded[top : top + height, left : left + width]
