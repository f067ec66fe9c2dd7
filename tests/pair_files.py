"""Small images and masks as files, for tests."""

import io

import numpy as np
from PIL import Image


def encode(pixels, mode=None, file_format="PNG", palette=None, turn=None, **options):
  """Encodes an array as an image; `turn` is the orientation of its EXIF data."""
  image = Image.fromarray(pixels)
  if mode:
    image = image.convert(mode)
  if palette:
    image = Image.fromarray(pixels, "P")
    image.putpalette(palette)
  if turn:
    exif = Image.Exif()
    exif[0x0112] = turn
    options["exif"] = exif
  buffer = io.BytesIO()
  image.save(buffer, file_format, **options)
  return buffer.getvalue()


def photo(height=4, width=6, seed=0, **how):
  """A JPEG of noise."""
  rng = np.random.default_rng(seed)
  pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
  return encode(pixels, **{"file_format": "JPEG", **how})


def write(path, content):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(content)
  return path


def write_pair(folder, split, name, mask, masks="masks", image=None):
  """Writes `images/SPLIT/NAME.jpg` and `masks/SPLIT/NAME.png`, of an array or encoded."""
  encoded = mask if isinstance(mask, bytes) else encode(mask)
  height, width = (4, 6) if isinstance(mask, bytes) else mask.shape[:2]
  image = photo(height, width) if image is None else image
  return (
    write(folder / "images" / split / f"{name}.jpg", image),
    write(folder / masks / split / f"{name}.png", encoded),
  )
