"""This module writes what ADE20K's archive unpacks to, with made-up scenes, to try a whole run."""

import io
import pathlib

import numpy as np
from PIL import Image

from hornet_jax.data.preparing.masks.ade20k import CLASSES_FILE
from hornet_jax.data.preparing.shapes import CLASS_NAMES, SIDE, make_scene
from hornet_jax.data.views.masks import encode_png

NUM_TRAIN, NUM_VALIDATION = 64, 16
_SHORTEST = 96  # pixels of a side
_WIDEST_STRIP = 8  # pixels that count for no class
_TURN = 0x0112  # EXIF tag


def write_ade20k_folder(
  folder: pathlib.Path, num_train: int = NUM_TRAIN, num_validation: int = NUM_VALIDATION
) -> None:
  """Writes `ADEChallengeData2016` with scenes of `data.preparing.shapes`, the same ones each time.

  Images are JPEGs of 96 to 256 pixels a side. Like those of the real dataset, masks count classes
  from 1; a strip of each is 0. The second training image is grey, the third one says that it is to
  be turned by a quarter.

  Args:
    folder: folder to write to.
    num_train: number of images to train on.
    num_validation: number of images to evaluate on.
  """
  root = folder / "ADEChallengeData2016"
  for seed, (split, count) in enumerate(
    {"training": num_train, "validation": num_validation}.items()
  ):
    for kind in ("images", "annotations"):
      (root / kind / split).mkdir(parents=True)
    for number in range(count):
      name = f"ADE_{'train' if split == 'training' else 'val'}_{number + 1:08d}"
      pixels, mask = _scene(seed, number)
      odd = number if split == "training" else 0
      (root / "images" / split / f"{name}.jpg").write_bytes(encode_oddly(pixels, odd))
      (root / "annotations" / split / f"{name}.png").write_bytes(encode_png(mask))
  lines = ["Idx\tRatio\tTrain\tVal\tStuff\tName"]
  for k, name in enumerate(CLASS_NAMES):
    is_stuff = int(name == "background")
    lines.append(f"{k + 1}\t0.0\t{num_train}\t{num_validation}\t{is_stuff}\t{name}, made up")
  (root / CLASSES_FILE).write_text("\n".join(lines) + "\n")


def _scene(seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
  """Draws one scene, or two side by side or over each other, and cuts a part out."""
  rng = np.random.default_rng((seed, number))
  scenes = [make_scene(seed, 2 * number + k) for k in range(2)]
  axis = (None, 0, 1)[number % 3]
  if axis is None:
    pixels, mask = scenes[0].image, scenes[0].mask
  else:
    pixels = np.concatenate([scene.image for scene in scenes], axis)
    mask = np.concatenate([scene.mask for scene in scenes], axis)
  height, width = (side - rng.integers(SIDE - _SHORTEST, endpoint=True) for side in mask.shape)
  values = mask[:height, :width] + 1
  values[:, : rng.integers(1, _WIDEST_STRIP, endpoint=True)] = 0
  return pixels[:height, :width], values


def encode_oddly(pixels: np.ndarray, number: int) -> bytes:
  """Encodes an image as a JPEG: 1 is grey, 2 says that it is to be turned by a quarter."""
  image, exif = Image.fromarray(pixels), Image.Exif()
  if number == 1:
    image = image.convert("L")
  elif number == 2:
    exif[_TURN] = 6  # by a quarter clockwise
    image = image.transpose(Image.Transpose.ROTATE_90)
  encoded = io.BytesIO()
  image.save(encoded, "JPEG", quality=90, exif=exif)
  return encoded.getvalue()
