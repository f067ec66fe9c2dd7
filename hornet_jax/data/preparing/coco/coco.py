"""This module finds COCO 2017's images and annotations, in archives or in what they unpack to."""

import functools
import pathlib
import zipfile

from hornet_jax.data.preparing.coco.find_instances import FoundInstances, Source
from hornet_jax.data.preparing.coco.image_places import ImagePlaces
from hornet_jax.errors import InputError

HOMEPAGE = "https://cocodataset.org"
NUM_IMAGES = {"train": 118_287, "validation": 5_000}
"""Split -> its images. Source: the files of annotations of 2017."""

FOLDERS = {"train": "train2017", "validation": "val2017"}
"""Split -> the folder of its images, and the archive of that name."""
_ANNOTATIONS = "annotations_trainval2017.zip"


def find_coco(place: pathlib.Path) -> FoundInstances:
  """Finds both splits.

  Args:
    place: folder of `train2017.zip`, `val2017.zip` and `annotations_trainval2017.zip`, or of the
      folders `train2017`, `val2017` and `annotations` that they unpack to, or of some of each; the
      folders of images may lie in one called `images`.

  Raises:
    InputError: if something is missing or damaged.
  """
  sources = {split: _source(place, folder) for split, folder in FOLDERS.items()}
  return FoundInstances(place, sources, "as published", {})


def check_coco(found: FoundInstances, *, partial: bool) -> None:
  """Raises `InputError` unless there are as many images as published.

  Args:
    found: what `find_coco` found.
    partial: whether others are meant.
  """
  if partial:
    return
  for split, expected in NUM_IMAGES.items():
    count = sum(place[1].endswith(".jpg") for place in found.sources[split].images.every())
    if count != expected:
      raise InputError(
        f"`archives` must hold {expected:,} images of {split}: got {count:,} in {found.path}. Hint:"
        f" download {FOLDERS[split]}.zip of {HOMEPAGE} again, or say --partial where others are "
        "meant."
      )


def archives_of(found: FoundInstances) -> list[pathlib.Path]:
  """Lists the archives of images; none where they are unpacked."""
  roots = [root for source in found.sources.values() for root in source.images.roots]
  return [root for root in roots if root.is_file()]


def _source(place: pathlib.Path, folder: str) -> Source:
  inside = f"annotations/instances_{folder}.json"
  candidates = (place / folder, place / "images" / folder, place / f"{folder}.zip")
  images = next((path for path in candidates if path.exists()), None)
  if images is None:
    raise _missing(f"{folder}.zip, or the folder {folder}", place)
  found = ImagePlaces([images], f"{folder}/" if images.is_file() else "")
  if (place / inside).is_file():
    return Source(str(place / inside), (place / inside).read_bytes, found)
  archive = place / _ANNOTATIONS
  if not archive.is_file():
    raise _missing(f"{_ANNOTATIONS}, or {inside}", place)
  name = f"{archive}:{inside}"
  return Source(name, functools.partial(_read, archive, inside), found)


def _read(archive: pathlib.Path, inside: str) -> bytes:
  try:
    with zipfile.ZipFile(archive) as file:
      return file.read(inside)
  except (zipfile.BadZipFile, OSError, KeyError) as error:
    raise InputError(
      f"{archive} must be a whole zip archive with {inside}: {error}. Hint: download it again."
    ) from error


def _missing(what: str, place: pathlib.Path) -> InputError:
  return InputError(
    f"`archives` must be a folder that holds {what}: there is none in {place}. Hint: they are at "
    f"{HOMEPAGE}."
  )
