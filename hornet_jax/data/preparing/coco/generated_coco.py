"""This module writes what COCO's archives unpack to, with made-up scenes, to try a whole run."""

import pathlib
from collections.abc import Iterator

import numpy as np

from hornet_jax.data.preparing.coco.coco import FOLDERS
from hornet_jax.data.preparing.coco.write_coco import Thing, write_coco
from hornet_jax.data.preparing.masks.generated_ade20k import encode_oddly
from hornet_jax.data.preparing.shapes import CLASS_NAMES, SIDE, make_scene

NUM_TRAIN, NUM_VALIDATION = 64, 16
CATEGORIES = {"circle": 1, "box": 3, "triangle": 4}
"""Name of each class -> its number: like COCO's, they leave some out."""

_SHORTEST = 96  # pixels of a side
_CROWDED = 8  # every so many images have a crowd, where two things are alike
_EMPTY = 5  # an image without things


def write_coco_folder(
  folder: pathlib.Path, num_train: int = NUM_TRAIN, num_validation: int = NUM_VALIDATION
) -> None:
  """Writes `train2017`, `val2017` and `annotations`, the same ones each time.

  Images are JPEGs of 96 to 256 pixels a side with scenes of `data.preparing.shapes`. The
  second one to train on is grey, the third one says that it is to be turned by a quarter, the
  sixth one is empty. Some things that are alike make a crowd.

  Args:
    folder: folder to write to.
    num_train: number of images to train on.
    num_validation: number of images to evaluate on.
  """
  counts = (num_train, num_validation)
  for seed, (name, count) in enumerate(zip(FOLDERS.values(), counts, strict=True)):
    annotations = folder / "annotations" / f"instances_{name}.json"
    write_coco(_images(seed, count), folder / name, annotations, CATEGORIES)


def _images(seed: int, count: int) -> Iterator[tuple[str, bytes, list[Thing], tuple[int, int]]]:
  for number in range(count):
    pixels, things = _scene(seed, number)
    if seed == 0 and number == _EMPTY:
      pixels, things = np.full_like(pixels, 128), []
    if number % _CROWDED == 0:
      things = _crowded(things)
    odd = number if seed == 0 else 0
    yield f"{number + 1:012d}.jpg", encode_oddly(pixels, odd), things, pixels.shape[:2]


def _scene(seed: int, number: int) -> tuple[np.ndarray, list[Thing]]:
  """Draws one scene, or two side by side or over each other, and cuts a part out."""
  rng = np.random.default_rng((seed, number))
  scenes = [make_scene(seed, 2 * number + k) for k in range(2)]
  axis = (None, 0, 1)[number % 3]
  shown = scenes[:1] if axis is None else scenes
  pixels = np.concatenate([scene.image for scene in shown], axis or 0)
  height, width = (
    side - rng.integers(SIDE - _SHORTEST, endpoint=True) for side in pixels.shape[:2]
  )
  things: list[Thing] = []
  for k, scene in enumerate(shown):
    for kind, seen in scene.shapes:
      blank = np.zeros_like(seen)
      parts = [seen if j == k else blank for j in range(len(shown))]
      mask = np.concatenate(parts, axis or 0)[:height, :width]
      if mask.any():
        things.append((CLASS_NAMES[kind], mask, False))
  return pixels[:height, :width], things


def _crowded(things: list[Thing]) -> list[Thing]:
  """Joins the things of the first class that has several to a crowd."""
  kinds = [kind for kind, _, _ in things]
  several = next((kind for kind in kinds if kinds.count(kind) > 1), None)
  if several is None:
    return things
  crowd = np.any([mask for kind, mask, _ in things if kind == several], axis=0)
  return [thing for thing in things if thing[0] != several] + [(several, crowd, True)]
