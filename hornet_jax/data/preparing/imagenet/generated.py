"""This module writes archives in ImageNet's format with made-up images, to try a whole run."""

import colorsys
import gzip
import io
import pathlib
import tarfile
import zipfile

import numpy as np
from PIL import Image

from hornet_jax.data.imagenet_classes import synsets, validation_synsets
from hornet_jax.data.preparing.imagenet.eval_archives import CORRUPTIONS, EVAL_SETS, SEVERITIES
from hornet_jax.data.preparing.imagenet.imagenet_archives import TRAIN_ARCHIVE, VALIDATION_ARCHIVE

NUM_TRAIN, NUM_VALIDATION = 200, 50
_IN_ARCHIVE = {
  "noise": CORRUPTIONS[:3],
  "blur": CORRUPTIONS[3:7],
  "weather": CORRUPTIONS[7:11],
  "digital": CORRUPTIONS[11:],
}


def write_imagenet_archives(
  folder: pathlib.Path, num_train: int = NUM_TRAIN, num_validation: int = NUM_VALIDATION
) -> None:
  """Writes `ILSVRC2012_img_train.tar` and `ILSVRC2012_img_val.tar`.

  Classes have colours of their own, so that something can be learnt. Like the real ones, the
  archives hold a grey, a CMYK and a turned JPEG, and a PNG under the name of a JPEG.

  Args:
    folder: folder for the archives.
    num_train: number of training images, spread over the classes of the validation images.
    num_validation: number of validation images, with the true labels of the first ones.
  """
  labels = validation_synsets()[:num_validation]
  used = sorted(set(labels))
  rng = np.random.default_rng(0)
  by_synset: dict[str, list[tuple[str, bytes]]] = {synset: [] for synset in used}
  for i in range(num_train):
    synset = used[i % len(used)]
    content = _encoded(_picture(synset, rng), i)
    by_synset[synset].append((f"{synset}_{i}.JPEG", content))
  inner = [(f"{synset}.tar", tar_of(images)) for synset, images in by_synset.items()]
  (folder / TRAIN_ARCHIVE).write_bytes(tar_of(inner))
  images = [
    (f"ILSVRC2012_val_{i + 1:08d}.JPEG", _encoded(_picture(synset, rng), i))
    for i, synset in enumerate(labels)
  ]
  (folder / VALIDATION_ARCHIVE).write_bytes(tar_of(images))


def write_imagenet22k_archives(folder: pathlib.Path, num_synsets: int = 20) -> None:
  """Writes one tar a synset, of 10 images each."""
  rng = np.random.default_rng(0)
  for synset in synsets()[:num_synsets]:
    images = [(f"{synset}_{i}.JPEG", _encoded(_picture(synset, rng), i)) for i in range(10)]
    (folder / f"{synset}.tar").write_bytes(tar_of(images))


def write_eval_archives(name: str, folder: pathlib.Path, num_classes: int = 5) -> None:
  """Writes the archives of an evaluation set around ImageNet, two images a class and corruption.

  Args:
    name: name in `EVAL_SETS`.
    folder: folder for the archives.
    num_classes: number of classes, the first of the 1,000.
  """
  rng = np.random.default_rng(0)
  numbered = name == "imagenet_v2"

  def images(folder_name: str) -> list[tuple[str, bytes]]:
    found = []
    for k, synset in enumerate(synsets()[:num_classes]):
      for i in range(2):
        file_name = f"ILSVRC2012_val_{2 * k + i + 1:08d}.JPEG"
        path = f"{folder_name}/{k if numbered else synset}/{file_name}"
        found.append((path, _encoded(_picture(synset, rng), i)))
    return found

  for archive in EVAL_SETS[name].archives:
    path, root = folder / archive, archive.partition(".")[0]
    if path.suffix == ".zip":
      with zipfile.ZipFile(path, "w") as file:
        for image_name, content in images(root):
          file.writestr(image_name, content)
      continue
    folders = [root]
    if name == "imagenet_c":
      folders = [f"{corruption}/{k}" for corruption in _IN_ARCHIVE[root] for k in SEVERITIES]
    content = tar_of([image for part in folders for image in images(part)])
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def tar_of(members: list[tuple[str, bytes]]) -> bytes:
  """Returns a tar archive of files, as bytes."""
  buffer = io.BytesIO()
  with tarfile.open(fileobj=buffer, mode="w") as archive:
    for name, content in members:
      info = tarfile.TarInfo(name)
      info.size = len(content)
      archive.addfile(info, io.BytesIO(content))
  return buffer.getvalue()


def _picture(synset: str, rng: np.random.Generator) -> Image.Image:
  """Draws the colour of the class, with noise, 64 to 100 pixels a side."""
  hue = synsets().index(synset) * 0.618 % 1  # far apart for neighbours
  color = 255 * np.array(colorsys.hsv_to_rgb(hue, 0.7, 0.7))
  height, width = rng.integers(64, 101, 2)
  noise = rng.normal(0, 25, (height, width, 3))
  return Image.fromarray(np.clip(color + noise, 0, 255).astype(np.uint8))


def _encoded(image: Image.Image, number: int) -> bytes:
  """Encodes an image as a plain JPEG, or for the numbers 1 to 4 in an odd way."""
  buffer = io.BytesIO()
  match number:
    case 1:
      image.convert("L").save(buffer, "JPEG")
    case 2:
      image.convert("CMYK").save(buffer, "JPEG")
    case 3:
      exif = Image.Exif()
      exif[0x0112] = 6  # to be turned by a quarter
      image.save(buffer, "JPEG", exif=exif)
    case 4:
      image.save(buffer, "PNG")
    case _:
      image.save(buffer, "JPEG", quality=90)
  return buffer.getvalue()
