"""A prepared dataset of one's own images says what their pixels are."""

import dataclasses
import json
from typing import Any

from etils import epath

from hornet_jax.data.pixels.normalize import IMAGENET_MEAN, IMAGENET_STD
from hornet_jax.data.pixels.pixel_format import PILLOW_MODES, RGB, PixelFormat
from hornet_jax.errors import InputError
from hornet_jax.files import retried

IMAGE_INFO = "image_info.json"
"""The file beside those of the dataset."""


@dataclasses.dataclass(frozen=True)
class ImageInfo:
  """An `ImageInfo` describes the images of a dataset, as they are to be decoded.

  Attributes:
    pixel_format: format of the pixels.
    mean: mean of each channel over the training images, each of which counts alike; of pixels in
      [0, 1].
    std: standard deviation likewise.
  """

  pixel_format: PixelFormat
  mean: tuple[float, ...]
  std: tuple[float, ...]

  def to_json(self) -> str:
    """Writes it as text."""
    return json.dumps(dataclasses.asdict(self), indent=2)


def check_channels(info: ImageInfo | None, channels: int, name: str) -> None:
  """Raises `InputError` where a dataset's images cannot be read with so many channels.

  Args:
    info: what the dataset says of its images; None for nothing.
    channels: `data.channels`.
    name: name of the split.
  """
  has = info.pixel_format.channels if info else RGB.channels
  if channels != has and not {channels, has} <= PILLOW_MODES.keys():
    raise InputError(
      f"`data.channels` must suit {name}: expected {has}, got {channels}. Hint: "
      f"--config.data.channels={has}, with as many numbers in data.mean and data.std; the config "
      "`finetune` finds all three by itself."
    )


DEFAULT = ImageInfo(PixelFormat(), IMAGENET_MEAN, IMAGENET_STD)
"""What holds of datasets that say nothing: RGB, normalised as ImageNet is."""


def read_image_info(prepared: epath.Path) -> ImageInfo | None:
  """Reads what a prepared dataset says of its images; None where it says nothing.

  Args:
    prepared: folder of the dataset's version.

  Raises:
    InputError: if the file is damaged.
  """
  file = prepared / IMAGE_INFO
  if not retried(f"looking for {file}", file.exists):
    return None
  try:
    values: dict[str, Any] = json.loads(retried(f"reading {file}", file.read_text))
    pixel_format = PixelFormat(**values["pixel_format"])
    mean, std = tuple(map(float, values["mean"])), tuple(map(float, values["std"]))
  except (ValueError, KeyError, TypeError, InputError) as error:
    raise InputError(
      f"{file} must be as `hornet prepare folder` wrote it: {error}. Hint: prepare it anew."
    ) from error
  return ImageInfo(pixel_format, mean, std)
