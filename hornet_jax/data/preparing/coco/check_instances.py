"""This module reads every image of a file of annotations once, and what is told of it."""

import dataclasses
import functools
from collections.abc import Mapping

from tqdm import tqdm

from hornet_jax.data.pixels.decode import UndecodableImageError, decode_pixels, is_turned
from hornet_jax.data.preparing.coco.coco_file import CocoFile, CocoImage, annotation_key
from hornet_jax.data.preparing.coco.coco_object import CocoObject, read_object
from hornet_jax.data.preparing.coco.coco_values import BrokenEntryError, shown, whole
from hornet_jax.data.preparing.coco.image_places import ImagePlaces, Place, read_place, told_place
from hornet_jax.data.threads import thread_pool
from hornet_jax.wording import counted

_THREADS = 4


@dataclasses.dataclass(frozen=True)
class CheckedImage:
  """An image with which nothing is wrong.

  Attributes:
    place: place of its file.
    file_name: its name in the file of annotations.
    image_id: its number there.
    size: height and width in pixels, turned as its EXIF data say.
    is_turned: whether they turn it.
    objects: things on it.
  """

  place: Place
  file_name: str
  image_id: int
  size: tuple[int, int]
  is_turned: bool
  objects: list[CocoObject]


def check_instances(
  file: CocoFile, places: ImagePlaces, labels: Mapping[int, int]
) -> tuple[list[CheckedImage], dict[str, str]]:
  """Reads all images of a file of annotations.

  Args:
    file: content of the file.
    places: places of its images.
    labels: number of a category -> class.

  Returns:
    The images with which nothing is wrong, by their names, and every entry that cannot be used,
    with the reason.
  """
  images = sorted(file.images, key=lambda image: image.file_name)
  check = functools.partial(_check, file.name, places, labels)
  with thread_pool(_THREADS) as pool:
    checks = pool.imap(check, images, chunksize=16)  # in order
    found = list(tqdm(checks, "checking", len(images), unit="image", disable=None))
  left_out: dict[str, str] = dict(file.left_out)
  for _, wrong in found:
    left_out |= wrong
  return [checked for checked, _ in found if checked], left_out


def _check(
  name: str, places: ImagePlaces, labels: Mapping[int, int], image: CocoImage
) -> tuple[CheckedImage | None, dict[str, str]]:
  """Returns an image and what is wrong on it, or nothing and what is wrong with it."""
  key = f"{name}: image {image.file_name}"
  try:
    place = places.find(image.file_name)
    key = told_place(place)
    encoded = read_place(place)
    height, width = decode_pixels(encoded).shape[:2]
    turned = is_turned(encoded)
    _check_size(image, (height, width), turned=turned)
  except (BrokenEntryError, UndecodableImageError) as error:
    lost = f"; with it {counted(len(image.annotations), 'annotation')}" * bool(image.annotations)
    return None, {key: f"{error}{lost}"}
  objects, wrong = [], {}
  for annotation in image.annotations:
    try:
      objects.append(read_object(annotation, (height, width), labels))
    except BrokenEntryError as error:
      wrong[f"{annotation_key(name, annotation['id'])}, of {image.file_name}"] = str(error)
  found = CheckedImage(place, image.file_name, image.id, (height, width), turned, objects)
  return found, wrong


def _check_size(image: CocoImage, size: tuple[int, int], *, turned: bool) -> None:
  if image.told_size is None:
    return
  told = [whole(side) for side in image.told_size]
  if told != list(size):
    hint = ": its EXIF data turn it" if turned and told == list(size[::-1]) else ""
    sides = shown(list(image.told_size))
    raise BrokenEntryError(f"an image of height and width {list(size)}, and told are {sides}{hint}")
