"""What is known of the images of a split before they are read: sizes, and numbers of things."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hornet_jax.data.datasets import OBJECTS, Split, file_of
from hornet_jax.data.reading_once import read_once
from hornet_jax.data.views.instances import read_instances
from hornet_jax.errors import InputError

_NEEDED = {"height", "width", OBJECTS}


def image_sizes(split: Split) -> np.ndarray:
  """Reads the height and width of every image in pixels, int32 [N, 2].

  They are those that the examples tell, of the image turned as its EXIF data say. The first time
  the whole split is read; what was found is then kept beside its files, where these can be written.

  Raises:
    InputError: if the examples tell no sizes.
  """
  return _read(split)[:, :2]


def object_counts(split: Split) -> np.ndarray:
  """Reads how many things lie on every image, crowds included, int32 [N]; likewise."""
  return _read(split)[:, 2]


def check_room(split: Split, max_objects: int) -> None:
  """Looks whether no image has more things to learn from than there is room for, and one has any.

  Args:
    split: split to train on.
    max_objects: largest number of things that are learned from on an image.

  Raises:
    InputError: if an image has more, or none has any.
  """
  counts = _read(split)[:, 3]
  if not counts.any():
    raise InputError(
      f"{split.name} must have things to learn from: its {len(counts):,} images have none, or "
      "crowds and things under a pixel wide or high alone."
    )
  most = int(counts.argmax())
  file = file_of(split.source[most])
  if counts[most] > max_objects:
    raise InputError(
      f"`detection.max_objects` must be the most things on an image: expected at least "
      f"{counts[most]} for {split.name}, as example {most} has ({file}), got {max_objects}."
    )


def _read(split: Split) -> np.ndarray:
  def seen(example: Mapping[str, Any]) -> tuple[int, int, int, int]:
    if not example.keys() >= _NEEDED:
      raise InputError(
        f"{split.name} must tell the sizes of its images, and what lies on them: expected "
        f"{', '.join(sorted(_NEEDED))}, got {', '.join(sorted(example))}. Hint: `hornet prepare "
        "instances` makes such datasets."
      )
    things = read_instances(example)
    return (*things.size, len(things), len(things.for_training()))

  return read_once(split, "seen", seen, np.dtype((np.int32, 4)))
