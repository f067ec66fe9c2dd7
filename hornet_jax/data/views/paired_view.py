"""Training views of an image and its mask: both are scaled, cut and flipped alike."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from PIL import Image

from hornet_jax.data.views.masks import IGNORED
from hornet_jax.data.views.photometric import distort
from hornet_jax.errors import InputError

_REDRAWN = 10  # times at most that another crop is drawn


@dataclasses.dataclass(frozen=True)
class PairedAugmentation:
  """A `PairedAugmentation` makes the training view of an image and of the classes of its pixels.

  The image is scaled by a random ratio, its aspect kept; a random square is cut out, another one if
  a single class fills too much of it; it is flipped, its colours are changed, and what the image
  lacks at the right and at the bottom is filled with the mean and ignored.

  Source: the official segmentation configs: mmseg's `Resize`, `RandomCrop`, `RandomFlip`,
  `PhotoMetricDistortion` and `Pad`, in this order.
  Deviation: pixels are those of Pillow, whose bilinear filter does not alias where it makes an
  image smaller, and whose nearest pixel is that under the centre, and not of OpenCV. What is filled
  in is rounded to whole numbers.

  Attributes:
    crop_size: side of the square, in pixels.
    long_side: longest side of an image at ratio 1.
    short_side: its shortest side, where the longest allows.
    ratios: smallest and largest ratio.
    max_class_share: largest share of one class among the pixels of a crop that count; 1 for any.
    flip_rate: probability of a horizontal flip.
    photometric: whether colours are changed, see `distort`.
    fill: value of each channel where there is no image.
  """

  crop_size: int
  long_side: int
  short_side: int
  ratios: tuple[float, float] = (0.5, 2.0)
  max_class_share: float = 0.75
  flip_rate: float = 0.5
  photometric: bool = True
  fill: tuple[int, ...] = (124, 116, 104)

  def __post_init__(self) -> None:
    if len(self.ratios) != 2 or not 0 < self.ratios[0] <= self.ratios[1]:
      raise InputError(f"`ratios` must go from a positive number up: got {self.ratios}.")
    if min(self.crop_size, self.long_side, self.short_side) < 1:
      raise InputError(
        "`crop_size`, `long_side` and `short_side` must be pixels: expected at least 1, got "
        f"{self.crop_size}, {self.long_side} and {self.short_side}."
      )
    if not 0 < self.max_class_share <= 1:
      raise InputError(f"`max_class_share` must be > 0 and <= 1: got {self.max_class_share}.")

  def view(
    self, pixels: np.ndarray, mask: np.ndarray, rng: np.random.Generator
  ) -> tuple[np.ndarray, np.ndarray]:
    """Makes the view.

    Args:
      pixels: image, uint8 [H, W, 3].
      mask: classes, uint8 [H, W]; 255 where none counts.
      rng: generator of the example.

    Returns:
      The image, uint8 [S, S, 3], and its classes, uint8 [S, S].
    """
    ratio = rng.uniform(*self.ratios)
    limits = int(self.long_side * ratio), int(self.short_side * ratio)
    height, width = scaled_size(pixels.shape[:2], *limits)
    top, left = self._place(mask, (height, width), rng)
    side = self.crop_size
    window = (top, left, min(side, height), min(side, width))
    image = resize_window(pixels, (height, width), window)
    classes = nearest_window(mask, (height, width), window)
    if rng.random() < self.flip_rate:
      image, classes = image[:, ::-1], classes[:, ::-1]
    if self.photometric:
      image = distort(np.ascontiguousarray(image), rng)
    return self._padded(image, classes)

  def _place(
    self, mask: np.ndarray, size: tuple[int, int], rng: np.random.Generator
  ) -> tuple[int, int]:
    """Draws the corner of a crop, again where one class fills too much of it."""
    height, width = size
    side = self.crop_size

    def draw() -> tuple[int, int]:
      top = rng.integers(max(height - side, 0), endpoint=True)
      return int(top), int(rng.integers(max(width - side, 0), endpoint=True))

    place = draw()
    for _ in range(_REDRAWN if self.max_class_share < 1 else 0):
      window = (*place, min(side, height), min(side, width))
      counts = np.bincount(nearest_window(mask, size, window).ravel(), minlength=IGNORED + 1)
      counts = counts[:IGNORED]
      if (counts > 0).sum() > 1 and counts.max() < self.max_class_share * counts.sum():
        break
      place = draw()
    return place

  def _padded(self, image: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    side, (height, width) = self.crop_size, classes.shape
    if (height, width) == (side, side):
      return np.ascontiguousarray(image), np.ascontiguousarray(classes)
    whole = np.empty((side, side, image.shape[2]), np.uint8)
    whole[:] = self.fill
    whole[:height, :width] = image
    of_whole = np.full((side, side), IGNORED, np.uint8)
    of_whole[:height, :width] = classes
    return whole, of_whole


def scaled_size(size: Sequence[int], long_side: int, short_side: int) -> tuple[int, int]:
  """Gives the largest size of the same aspect whose sides stay within two limits.

  Source: mmcv `imrescale`.

  Args:
    size: height and width.
    long_side: limit of the longer one.
    short_side: limit of the shorter one.
  """
  factor = min(long_side / max(size), short_side / min(size))
  return max(int(size[0] * factor + 0.5), 1), max(int(size[1] * factor + 0.5), 1)


def resize_window(
  pixels: np.ndarray, size: tuple[int, int], window: tuple[int, int, int, int]
) -> np.ndarray:
  """Resizes an image bilinearly and makes only a part of the result.

  Args:
    pixels: image, uint8 [H, W, 3].
    size: height and width of the whole result.
    window: top, left, height and width of the part.
  """
  top, left, height, width = window
  y, x = pixels.shape[0] / size[0], pixels.shape[1] / size[1]
  box = (left * x, top * y, (left + width) * x, (top + height) * y)
  box = (*box[:2], min(box[2], pixels.shape[1]), min(box[3], pixels.shape[0]))
  image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR, box=box)
  return np.asarray(image)


def nearest_window(
  mask: np.ndarray, size: tuple[int, int], window: tuple[int, int, int, int]
) -> np.ndarray:
  """Resizes a mask to the nearest pixel's class and makes only a part of the result.

  Args:
    mask: classes, uint8 [H, W].
    size: height and width of the whole result.
    window: top, left, height and width of the part.
  """
  top, left, height, width = window
  rows = _nearest(mask.shape[0], size[0])[top : top + height]
  columns = _nearest(mask.shape[1], size[1])[left : left + width]
  return mask[rows[:, None], columns]


def _nearest(source: int, target: int) -> np.ndarray:
  """Gives the pixel of each position as Pillow does, which adds the steps up: ties go its way."""
  step = source / target
  steps = np.full(target, step)
  steps[0] /= 2
  return np.cumsum(steps).astype(int)
