"""A prepared dataset says how large the images of each split are, at most."""

import json
from collections.abc import Mapping

from etils import epath

from hornet_jax.errors import InputError
from hornet_jax.files import retried

LARGEST_SIZES = "largest_sizes.json"
"""The file beside those of the dataset: the name of a split -> largest height, largest width."""


class LargestSizes:
  """`LargestSizes` gathers, while a dataset is built, how large its images are.

  Attributes:
    of_split: name of a split -> largest height and largest width of its images in pixels, which
      need not be those of one image.
  """

  def __init__(self) -> None:
    """Makes one that has seen no image."""
    self.of_split: dict[str, tuple[int, int]] = {}

  def see(self, split: str, size: tuple[int, ...]) -> None:
    """Takes account of an image.

    Args:
      split: name of its split.
      size: height and width in pixels, turned as its EXIF data say.
    """
    height, width = self.of_split.get(split, (0, 0))
    self.of_split[split] = max(height, size[0]), max(width, size[1])

  def write(self, folder: epath.Path) -> None:
    """Writes what was seen beside the files of a dataset, over what was written before."""
    (folder / LARGEST_SIZES).write_text(json.dumps(self.of_split, indent=2))


def read_largest_size(prepared: epath.Path, split: str) -> tuple[int, int] | None:
  """Reads the largest height and width of a split's images; None where the dataset says nothing.

  Args:
    prepared: folder of the dataset's version.
    split: name of the split, parts of it, or several, in TFDS's notation, such as `train[:90%]`.
      Of a part, the size is that of the whole.

  Raises:
    InputError: if the file is damaged.
  """
  file = prepared / LARGEST_SIZES
  if not retried(f"looking for {file}", file.exists):
    return None
  try:
    values: Mapping[str, list[int]] = json.loads(retried(f"reading {file}", file.read_text))
    of_split = {name: (int(height), int(width)) for name, (height, width) in values.items()}
  except (ValueError, TypeError, AttributeError) as error:
    raise InputError(
      f"{file} must hold a height and a width for each split: {error}. Hint: prepare the dataset "
      "anew."
    ) from error
  names = {part.partition("[")[0].strip() for part in split.split("+")}
  if not names <= of_split.keys():
    return None
  sizes = [of_split[name] for name in names]
  return max(size[0] for size in sizes), max(size[1] for size in sizes)
