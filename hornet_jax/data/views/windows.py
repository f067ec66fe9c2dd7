"""Images are tested by windows: each is scaled and cut to squares that cover it."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int32, UInt8

from hornet_jax.data.schema import Field
from hornet_jax.data.views.paired_view import resize_window, scaled_size
from hornet_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Scaling:
  """A `Scaling` is one size at which an image is tested.

  Attributes:
    long_side: limit of the longer side of the scaled image, in pixels.
    short_side: limit of the shorter one.
    flip: whether the image is flipped horizontally.
  """

  long_side: int
  short_side: int
  flip: bool = False


@dataclasses.dataclass(frozen=True)
class Windows:
  """`Windows` cuts an image, scaled in one way or several, to squares of one size that cover it.

  The windows of a scaled image lie `stride` apart; the last one of a row or column ends with the
  image. What an image lacks of a window, at the right and at the bottom, is filled. Each image has
  the same number of places for windows, as many as the largest scaled image needs; those that it
  does not need stay empty.

  Source: mmseg 0.x `EncoderDecoder.slide_inference`, `MultiScaleFlipAug`.
  Deviation: a scaled image that is smaller than a window is filled, as in training; mmseg gives
  the network the smaller image. Pixels are those of Pillow.

  Attributes:
    size: side S of a window, in pixels.
    stride: distance of windows, at most S.
    scalings: sizes V at which each image is tested; their probabilities are averaged.
    fill: value of each channel where there is no image.
  """

  size: int
  stride: int
  scalings: tuple[Scaling, ...]
  fill: tuple[int, ...]

  def __post_init__(self) -> None:
    if not 1 <= self.stride <= self.size:
      raise InputError(
        f"`segmentation.eval_stride` must not leave gaps between windows: expected at most "
        f"{self.size} pixels, as wide as a window, got {self.stride}."
      )

  @property
  def places(self) -> list[range]:
    """Lists which of the N places for windows each scaling has."""
    begin, places = 0, []
    for scaling in self.scalings:
      sides = scaling.long_side, min(scaling.long_side, scaling.short_side)
      count = len(self.starts(sides[0])) * len(self.starts(sides[1]))
      places.append(range(begin, begin + count))
      begin += count
    return places

  @property
  def fields(self) -> dict[str, Field]:
    """Describes what `cut` makes of an image."""
    count = self.places[-1].stop
    return {
      "image": Field((count, self.size, self.size, 3), np.uint8),
      "starts": Field((count, 2), np.int32, pad=-1),
      "scaled": Field((len(self.scalings), 2), np.int32, pad=1),
      "size": Field((2,), np.int32, pad=1),
    }

  def starts(self, side: int) -> list[int]:
    """Gives where windows begin along a side of a scaled image, in pixels."""
    count = max(side - self.size + self.stride - 1, 0) // self.stride + 1
    return [max(min(k * self.stride + self.size, side) - self.size, 0) for k in range(count)]

  def cut(
    self, pixels: UInt8[np.ndarray, "H W 3"]
  ) -> Mapping[str, UInt8[np.ndarray, "..."] | Int32[np.ndarray, "..."]]:
    """Cuts an image to windows.

    Args:
      pixels: image of any size.

    Returns:
      `image`, the windows [N, S, S, 3], flipped where their scaling says so; `starts`, [N, 2], the
      row of the scaled image where each begins, -1 where there is no window, and the column where
      it begins once it is flipped back, which may lie before the image; `scaled`, height and width
      at each scaling, [V, 2]; `size`, the image's own, [2].
    """
    made = {name: field.padding() for name, field in self.fields.items()}
    made["image"][:] = self.fill
    made["size"][:] = pixels.shape[:2]
    for scaling, places, scaled in zip(self.scalings, self.places, made["scaled"], strict=True):
      scaled[:] = scaled_size(pixels.shape[:2], scaling.long_side, scaling.short_side)
      height, width = scaled.tolist()
      whole = resize_window(pixels, (height, width), (0, 0, height, width))
      if scaling.flip:
        whole = whole[:, ::-1]
      corners = [(y, x) for y in self.starts(height) for x in self.starts(width)]
      for place, (y, x) in zip(places, corners, strict=False):
        window = whole[y : y + self.size, x : x + self.size]
        made["image"][place, : window.shape[0], : window.shape[1]] = window
        made["starts"][place] = y, width - x - self.size if scaling.flip else x
    return made


def scalings(
  size: tuple[int, int], ratios: Sequence[float] = (1.0,), flip: bool = False
) -> tuple[Scaling, ...]:
  """Lists the scalings of a test with several ratios, each with and without a flip.

  Args:
    size: limits of the long and of the short side at ratio 1.
    ratios: factors of both.
    flip: whether each is tested flipped, too.

  Raises:
    InputError: if there is no ratio, or one that is not positive.
  """
  if not ratios or min(ratios) <= 0:
    raise InputError(f"`ratios` must be positive numbers, at least one: got {tuple(ratios)}.")
  long_side, short_side = size
  return tuple(
    Scaling(max(int(long_side * ratio), 1), max(int(short_side * ratio), 1), flipped)
    for ratio in ratios
    for flipped in ((False, True) if flip else (False,))
  )
