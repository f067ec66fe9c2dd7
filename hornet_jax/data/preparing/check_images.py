"""This module decodes every image once, before a dataset is built of them."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np
from tqdm import tqdm

from hornet_jax.data.image_info import ImageInfo
from hornet_jax.data.pixels.decode import UndecodableImageError, count_channels, decode_pixels
from hornet_jax.data.pixels.pixel_format import PILLOW_MODES, RGB, PixelFormat
from hornet_jax.data.preparing.not_kept import has_more_pages, is_clipped
from hornet_jax.data.threads import thread_pool

_THREADS = 4
_SIDE = 256  # pixels, about, that are enough for the statistics of an image


@dataclasses.dataclass(frozen=True)
class Finding:
  """These are the findings on a file that decodes.

  Attributes:
    mean: mean of each channel, [C].
    square: mean square of each channel, [C].
    brightest: largest value, 0 to 255.
    is_clipped: whether it has values below 0 or above the largest, see `not_kept`.
    has_more_pages: whether it has pages that are not read, see `not_kept`.
  """

  mean: np.ndarray
  square: np.ndarray
  brightest: int
  is_clipped: bool
  has_more_pages: bool


@dataclasses.dataclass(frozen=True)
class Checked:
  """These are the findings on a list of files.

  Attributes:
    pixel_format: format in which they were decoded.
    undecodable: file -> reason why it cannot be decoded.
    decoded: file -> findings on each of the others.
  """

  pixel_format: PixelFormat
  undecodable: dict[pathlib.Path, str]
  decoded: dict[pathlib.Path, Finding]

  def image_info(self, files: Iterable[pathlib.Path]) -> ImageInfo:
    """Computes the statistics of some of the files."""
    found = [self.decoded[file] for file in files]
    mean = np.mean([finding.mean for finding in found], axis=0)
    square = np.mean([finding.square for finding in found], axis=0)
    std = np.sqrt(np.maximum(square - mean**2, 1e-6))  # a channel may be constant
    return ImageInfo(self.pixel_format, tuple(mean.tolist()), tuple(std.tolist()))

  @property
  def brightest(self) -> int:
    """Returns the brightest value of all, 0 to 255."""
    return max((finding.brightest for finding in self.decoded.values()), default=0)

  @property
  def num_clipped(self) -> int:
    """Counts the files with values out of their range."""
    return sum(finding.is_clipped for finding in self.decoded.values())

  @property
  def num_of_pages(self) -> int:
    """Counts the files with pages that are not read."""
    return sum(finding.has_more_pages for finding in self.decoded.values())


def check_images(
  files: Sequence[pathlib.Path], channels: int | None, max_value: float, max_pixels: int
) -> Checked:
  """Decodes all files.

  Args:
    files: paths of the files.
    channels: number of channels, see `PixelFormat`; None for that of the first image where it is
      another than those of grey, RGB and RGBA images, which become RGB.
    max_value: largest value of a pixel, see `PixelFormat`.
    max_pixels: pixels of the largest image, see `PixelFormat`.
  """
  if channels is None:
    channels = (_unusual_channels(files[0]) if files else None) or RGB.channels
  pixel_format = PixelFormat(channels, max_value, max_pixels)
  check = functools.partial(_check, pixel_format)
  with thread_pool(_THREADS) as pool:
    checked = pool.imap(check, files, chunksize=64)  # in order
    checks = tqdm(checked, "checking", len(files), unit="image", disable=None)
    found = dict(zip(files, checks, strict=True))
  return Checked(
    pixel_format,
    {file: result for file, result in found.items() if isinstance(result, str)},
    {file: result for file, result in found.items() if not isinstance(result, str)},
  )


def _unusual_channels(file: pathlib.Path) -> int | None:
  try:
    channels = count_channels(file.read_bytes())
  except (OSError, UndecodableImageError):
    return None
  return None if channels in PILLOW_MODES else channels


def _check(pixel_format: PixelFormat, file: pathlib.Path) -> Finding | str:
  """Returns the findings on a file, or what is wrong with it."""
  try:
    content = file.read_bytes()
    pixels = decode_pixels(content, pixel_format)
  except (OSError, UndecodableImageError) as error:
    return str(error)
  stride = max(min(pixels.shape[:2]) // _SIDE, 1)
  values = pixels[::stride, ::stride, : pixel_format.channels].astype(np.float32) / 255
  return Finding(
    values.mean((0, 1)),
    np.square(values).mean((0, 1)),
    round(float(values.max()) * 255),
    is_clipped(content, pixel_format),
    has_more_pages(content, pixel_format),
  )
