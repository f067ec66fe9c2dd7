"""Views of an image and of the things on it: both are scaled, cut and flipped alike."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from PIL import Image

from hornet_jax.data.views.instances import Instances, bitmap, cut_boxes, whole_mask
from hornet_jax.data.views.paired_view import scaled_size
from hornet_jax.errors import InputError

_MULTIPLE = 32  # pixels: the coarsest stride

Window = tuple[float, float, float, float]
"""Corners (x0, y0, x1, y1) of a part of an image, in its pixels."""


def canvas_of(
  size: Sequence[int], canvases: Sequence[tuple[int, int]], long_side: int, short_side: int
) -> int:
  """Finds the canvas that an image belongs to, by its own size alone.

  It is the one of least area into which the image fits when it is scaled for evaluation; where it
  fits into none, the one in which it is scaled down the least. Of equal ones it is the first.

  Args:
    size: height and width of the image as stored.
    canvases: heights and widths of the canvases.
    long_side: limit of the longer side of the scaled image.
    short_side: limit of its shorter side.

  Returns:
    The position in `canvases`.
  """
  height, width = scaled_size(size, long_side, short_side)

  def rank(k: int) -> tuple[float, int]:
    factor = min(1.0, canvases[k][0] / height, canvases[k][1] / width)
    return -factor, canvases[k][0] * canvases[k][1]

  return min(range(len(canvases)), key=rank)


@dataclasses.dataclass(frozen=True)
class DetectionView:
  """A `DetectionView` makes what a detector learns from, and what it is evaluated on.

  In training, with probability `crop_rate`, a random rectangle is first cut out of the image, after
  a scaling of its own. What there is then is scaled to a random short side, flipped by a coin, and
  laid at the top left of the image's canvas; what lies beyond is `fill`. For evaluation the image
  is scaled and laid there.

  Source: the official detection configs: mmdet's `Resize`, `RandomCrop` of `absolute_range` with
  crops that may be empty, `RandomFlip` and `Pad`, in the two policies of `AutoAugment`.
  Deviation: a view is scaled down further where it does not fit the canvas of its image, which is
  found from the image's own size, and padded up to it. It is scaled once, from the pixels as
  stored, and not before and after the crop; pixels are those of Pillow (see `PairedAugmentation`).

  Attributes:
    canvases: heights and widths of the canvases in pixels, multiples of 32.
    long_side: limit of the longer side in pixels.
    short_side: limit of the shorter side for evaluation.
    short_sides: limits of the shorter side of which training draws one.
    crop_short_sides: limits of the shorter side before a crop.
    crop_sides: least and largest side of a crop in pixels.
    crop_rate: probability of a crop.
    flip_rate: probability of a horizontal flip.
    max_objects: number M of things that a training view has room for.
    mask_side: side m of the bitmaps of things.
    fill: value of each channel where there is no image.

  Raises:
    InputError: if a number is out of its range.
  """

  canvases: Sequence[tuple[int, int]] = ((800, 1088), (1088, 800), (800, 1344), (1344, 800))
  long_side: int = 1333
  short_side: int = 800
  short_sides: Sequence[int] = tuple(range(480, 801, 32))
  crop_short_sides: Sequence[int] = (400, 500, 600)
  crop_sides: tuple[int, int] = (384, 600)
  crop_rate: float = 0.5
  flip_rate: float = 0.5
  max_objects: int = 100
  mask_side: int = 112
  fill: tuple[int, ...] = (124, 116, 104)

  def __post_init__(self) -> None:
    if not self.canvases or any(
      len(canvas) != 2 or min(canvas) < _MULTIPLE or any(side % _MULTIPLE for side in canvas)
      for canvas in self.canvases
    ):
      raise InputError(
        f"`canvases` must be heights and widths that are multiples of {_MULTIPLE}: expected such "
        f"as 800x1088, got {', '.join('x'.join(map(str, one)) for one in self.canvases) or 'none'}."
      )
    sides = (self.long_side, self.short_side, *self.short_sides, *self.crop_short_sides)
    if min(*sides, *self.crop_sides, self.max_objects, self.mask_side) < 1:
      raise InputError(
        "sides of images, `max_objects` and `mask_side` must be at least 1: got "
        f"{(*sides, *self.crop_sides)}, {self.max_objects} and {self.mask_side}."
      )
    if not self.short_sides or (self.crop_rate > 0 and not self.crop_short_sides):
      raise InputError(
        "`short_sides` and `crop_short_sides` must name at least one side: got none."
      )
    if self.crop_sides[0] > self.crop_sides[1]:
      raise InputError(f"`crop_sides` must go from the least up: got {self.crop_sides}.")
    for key, rate in (("crop_rate", self.crop_rate), ("flip_rate", self.flip_rate)):
      if not 0 <= rate <= 1:
        raise InputError(f"`{key}` must be a probability, from 0 to 1: got {rate}.")

  def canvas(self, size: Sequence[int]) -> int:
    """Finds the canvas of an image by its height and width as stored, see `canvas_of`."""
    return canvas_of(size, self.canvases, self.long_side, self.short_side)

  def canvases_of(self, sizes: np.ndarray) -> np.ndarray:
    """Finds the canvases of many images, int32 [N], by their heights and widths, int [N, 2]."""
    kinds, inverse = np.unique(sizes.reshape(-1, 2), axis=0, return_inverse=True)
    found = np.array([self.canvas(size) for size in kinds.tolist()], np.int32)
    return found[inverse.reshape(-1)]

  def evaluation(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Makes the view that is evaluated.

    Args:
      pixels: image, uint8 [h, w, 3].

    Returns:
      `image`, uint8 [H, W, 3]; `size`, height and width within it, int32 [2]; `own`, height and
      width of the image as stored, int32 [2].
    """
    own = pixels.shape[:2]
    canvas = self.canvases[self.canvas(own)]
    size = _fitted(scaled_size(own, self.long_side, self.short_side), canvas)
    image = _scaled(pixels, _whole(own), size)
    return {
      "image": self._laid(image, canvas),
      "size": np.array(size, np.int32),
      "own": np.array(own, np.int32),
    }

  def training(
    self, pixels: np.ndarray, instances: Instances, rng: np.random.Generator
  ) -> dict[str, np.ndarray]:
    """Makes a view to learn from.

    Args:
      pixels: image, uint8 [h, w, 3].
      instances: things on it.
      rng: generator of the example.

    Returns:
      `image`, uint8 [H, W, 3]; `size`, height and width within it, int32 [2]; `boxes`, corners in
      pixels of the canvas, float32 [M, 4]; `labels`, int32 [M], -1 where there is nothing; `masks`,
      what each box holds of its thing, 0 or 1, uint8 [M, m, m].

    Raises:
      InputError: if there are more things than M, or the image has another size than they tell.
    """
    own = pixels.shape[:2]
    if own != instances.size:
      raise InputError(
        f"an image must have the height and width that its example tells: expected "
        f"{list(instances.size)}, got {list(own)}."
      )
    instances = instances.for_training()
    if len(instances) > self.max_objects:
      raise InputError(
        f"an image must have at most {self.max_objects} things to learn from: got "
        f"{len(instances)}. Hint: raise detection.max_objects."
      )
    canvas = self.canvases[self.canvas(own)]
    window, size = self._drawn(own, rng)
    size = _fitted(size, canvas)
    flipped = rng.random() < self.flip_rate
    image = _scaled(pixels, window, size)
    view = {
      "image": self._laid(image[:, ::-1] if flipped else image, canvas),
      "size": np.array(size, np.int32),
    }
    return view | self._seen(instances, window, size, flipped=flipped)

  def _drawn(
    self, own: tuple[int, ...], rng: np.random.Generator
  ) -> tuple[Window, tuple[int, int]]:
    """Draws the part of an image that is shown, and to what height and width it is scaled."""
    window = _whole(own)
    part = (own[0], own[1])
    if rng.random() < self.crop_rate:
      before = scaled_size(own, self.long_side, int(rng.choice(self.crop_short_sides)))
      least, largest = self.crop_sides
      height, width = (
        int(rng.integers(min(side, least), min(side, largest), endpoint=True)) for side in before
      )
      top = int(rng.integers(before[0] - height, endpoint=True))
      left = int(rng.integers(before[1] - width, endpoint=True))
      y, x = own[0] / before[0], own[1] / before[1]
      right, bottom = min((left + width) * x, window[2]), min((top + height) * y, window[3])
      window, part = (left * x, top * y, right, bottom), (height, width)
    return window, scaled_size(part, self.long_side, int(rng.choice(self.short_sides)))

  def _seen(
    self, instances: Instances, window: Window, size: tuple[int, int], *, flipped: bool
  ) -> dict[str, np.ndarray]:
    """Makes the arrays of what is seen of things in a window."""
    cut, held = cut_boxes(instances.boxes, window)
    cut, instances = cut[held], instances.taken(held)
    count, side = len(instances), self.mask_side
    y, x = size[0] / (window[3] - window[1]), size[1] / (window[2] - window[0])
    scaled = (cut - np.array(window[:2] * 2)) * (x, y, x, y)
    if flipped:
      scaled[:, [0, 2]] = size[1] - scaled[:, [2, 0]]
    boxes = np.zeros((self.max_objects, 4), np.float32)
    labels = np.full(self.max_objects, -1, np.int32)
    masks = np.zeros((self.max_objects, side, side), np.uint8)
    boxes[:count], labels[:count] = scaled, instances.labels
    for k, (box, rle) in enumerate(zip(cut, instances.rles, strict=True)):
      of_box = bitmap(whole_mask(rle, instances.size), box, side)
      masks[k] = of_box[:, ::-1] if flipped else of_box
    return {"boxes": boxes, "labels": labels, "masks": masks}

  def _laid(self, image: np.ndarray, canvas: tuple[int, int]) -> np.ndarray:
    """Lays an image at the top left of a canvas."""
    whole = np.empty((*canvas, image.shape[2]), np.uint8)
    whole[:] = self.fill
    whole[: image.shape[0], : image.shape[1]] = image
    return whole


def _whole(size: Sequence[int]) -> Window:
  """Gives the corners of all of an image."""
  return 0.0, 0.0, float(size[1]), float(size[0])


def _fitted(size: tuple[int, int], canvas: tuple[int, int]) -> tuple[int, int]:
  """Scales a height and width down to what fits a canvas."""
  factor = min(1.0, canvas[0] / size[0], canvas[1] / size[1])
  if factor == 1.0:
    return size
  height, width = (max(int(side * factor + 0.5), 1) for side in size)
  return min(height, canvas[0]), min(width, canvas[1])


def _scaled(pixels: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
  """Scales a part of an image bilinearly to a height and width."""
  image = Image.fromarray(np.ascontiguousarray(pixels))
  return np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR, box=window))
