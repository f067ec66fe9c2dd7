"""The pixel format says what becomes of the values in image files."""

import dataclasses
import math

from hornet_jax.errors import InputError

PILLOW_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Counts of channels that Pillow converts into each other: grey, colours, colours and opacity."""
MAX_PIXELS = 178_956_970
"""Pixels of the largest image that Pillow opens by itself."""


@dataclasses.dataclass(frozen=True)
class PixelFormat:
  """A pixel format says which channels an image has, and what its values mean.

  Attributes:
    channels: number C of channels. 1, 3 and 4 are grey, RGB and RGBA, to which any image of
      those three is converted; with any other number the files must have just as many.
    max_value: value that becomes 255, of files with more than 8 bits a value, such as 4095 of a
      12-bit camera; 0 for the largest of the file's type. Numbers without a largest value, such
      as floats, need it.
    max_pixels: most pixels (height times width) of an image that is decoded; 0 for no limit.

  Raises:
    InputError: if a number is out of its range.
  """

  channels: int = 3
  max_value: float = 0.0
  max_pixels: int = MAX_PIXELS

  def __post_init__(self) -> None:
    if self.channels < 1 or self.max_pixels < 0:
      raise InputError(
        "`channels` and `max_pixels` must be counts: expected at least 1 and 0, got "
        f"{self.channels} and {self.max_pixels}."
      )
    if not (math.isfinite(self.max_value) and self.max_value >= 0):
      raise InputError(
        f"`max_value` must be the largest value of a pixel: expected >= 0, got {self.max_value}."
      )

  @property
  def mode(self) -> str | None:
    """Returns the mode to which Pillow converts; None where it has none."""
    return PILLOW_MODES.get(self.channels)


RGB = PixelFormat()
"""What ordinary pictures become."""


def padded_channels(channels: int) -> int:
  """Returns how many bytes a pixel of so many channels takes in memory: a multiple of four."""
  return -(-channels // 4) * 4
