"""This module reads a file of annotations in COCO's format, and tells its parts."""

import collections
import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from hornet_jax.data.preparing.coco.coco_values import shown, text, whole
from hornet_jax.errors import InputError
from hornet_jax.wording import counted

_PARTS = ("images", "annotations", "categories")


@dataclasses.dataclass
class CocoImage:
  """An image, as a file of annotations names it.

  Attributes:
    id: number of the image in the file.
    file_name: name of its file, which may have folders.
    told_size: height and width that are told; None where they are not.
    annotations: annotations of it as they stand in the file, each with a whole number `id`.
  """

  id: int
  file_name: str
  told_size: tuple[Any, Any] | None
  annotations: list[dict[str, Any]]


@dataclasses.dataclass
class CocoFile:
  """The content of a file of annotations.

  Attributes:
    name: name of the file for messages.
    images: images that can be used, in the order of the file.
    categories: number of a category -> its name, in the order of the numbers.
    supercategories: names of what categories belong to.
    left_out: entry -> reason why it is not used.
    notes: sentences on what was made of the file as a whole.
  """

  name: str
  images: list[CocoImage]
  categories: dict[int, str]
  supercategories: set[str]
  left_out: dict[str, str]
  notes: list[str]


def read_coco(content: bytes, name: str) -> CocoFile:
  """Reads a file of annotations; no image is looked at.

  Entries that cannot be used are named. Where an annotation has no number, or a number twice, or
  one below 1, all are numbered anew: evaluation takes 0 for no thing at all.

  Args:
    content: content of the file.
    name: name of the file for messages.

  Raises:
    InputError: if it is no such file, or its categories are no table of classes.
  """
  parts = _parts(content, name)
  categories, supercategories = _categories(parts["categories"], name)
  left_out: dict[str, str] = {}
  images = _images(parts["images"], name, left_out)
  notes = []
  annotations = _numbered(parts["annotations"], name, left_out)
  if annotations is None:
    notes.append(
      f"annotations of {name} are numbered anew, from 1: their own numbers are missing, repeated "
      "or below 1"
    )
    annotations = _numbered_anew(parts["annotations"], name, left_out)
  by_id = {image.id: image for image in images}
  for key, annotation in annotations:
    image_id = whole(annotation.get("image_id"))
    image = None if image_id is None else by_id.get(image_id)
    if image is None:
      left_out[key] = f"of no image that can be used: image_id {shown(annotation.get('image_id'))}"
    else:
      image.annotations.append(annotation)
  return CocoFile(name, images, categories, supercategories, left_out, notes)


def _parts(content: bytes, name: str) -> Mapping[str, list[Any]]:
  """Parses the file, and tells what other file it is where it is another."""
  expected = f"{name} must hold annotations in COCO's format:"
  try:
    parts = json.loads(content)
  except (ValueError, RecursionError) as error:
    raise InputError(f"{expected} it is no JSON: {error}.") from error
  if isinstance(parts, list):
    raise InputError(
      f"{expected} expected an object with {', '.join(_PARTS)}, got a list. Hint: results of a "
      "detector are lists; what is needed is what they are compared with."
    )
  if not isinstance(parts, dict):
    raise InputError(f"{expected} expected an object, got {shown(parts)}.")
  wrong = [part for part in _PARTS if not isinstance(parts.get(part), list)]
  if wrong:
    hint = ""
    if "annotations" not in parts and "images" in parts:
      hint = " Hint: files such as image_info_test tell of images alone."
    elif "categories" not in parts and "images" in parts:
      hint = " Hint: files of captions have no categories."
    raise InputError(
      f"{expected} expected lists {', '.join(_PARTS)}, got {', '.join(map(shown, parts)) or 'none'}"
      f"; wrong or missing: {', '.join(wrong)}.{hint}"
    )
  first = next(iter(parts["annotations"]), None)
  if isinstance(first, dict) and "segments_info" in first:
    raise InputError(
      f"{expected} got that of panoptic segmentation. Hint: instances_*.json has the things."
    )
  return parts


def _categories(entries: Sequence[Any], name: str) -> tuple[dict[int, str], set[str]]:
  """Reads the categories, which must be a table of classes."""
  categories: dict[int, str] = {}
  supercategories = set()
  for entry in entries:
    told = entry if isinstance(entry, dict) else {}
    number = whole(told.get("id"))
    # As TFDS keeps names of classes: one a line, without spaces around.
    label = " ".join((text(told.get("name")) or "").split())
    if number is None or not label:
      raise InputError(
        f"categories of {name} must have a whole number `id` and a `name`: got {shown(entry)}."
      )
    if number in categories or label in categories.values():
      raise InputError(
        f"categories of {name} must have numbers and names of their own: {shown(entry)} has one of "
        "another. Hint: rename one of them."
      )
    categories[number] = label
    if above := text(told.get("supercategory")):
      supercategories.add(" ".join(above.split()))
  if not categories:
    raise InputError(f"{name} must have categories: it has none.")
  return dict(sorted(categories.items())), supercategories


def _images(entries: Sequence[Any], name: str, left_out: dict[str, str]) -> list[CocoImage]:
  """Reads the images; of those that share a number or a file none is used."""
  images: list[tuple[str, CocoImage]] = []
  for k, entry in enumerate(entries):
    key = f"{name}: images[{k}]"
    told = entry if isinstance(entry, dict) else {}
    number, file_name = whole(told.get("id")), text(told.get("file_name"))
    if number is None:
      left_out[key] = f"an image without a whole number `id`: {shown(entry)}"
    elif file_name is None:
      left_out[key] = f"an image without a `file_name`: {shown(entry)}"
    else:
      sides = told.get("height"), told.get("width")
      told_size = None if sides == (None, None) else sides
      images.append((f"{key}, {file_name}", CocoImage(number, file_name, told_size, [])))
  ids = collections.Counter(image.id for _, image in images)
  files = collections.Counter(pathlib.PurePosixPath(image.file_name) for _, image in images)
  used = []
  for key, image in images:
    if ids[image.id] > 1:
      left_out[key] = f"an image whose id {image.id} is that of {counted(ids[image.id], 'image')}"
    elif (times := files[pathlib.PurePosixPath(image.file_name)]) > 1:
      left_out[key] = f"an image that is there {times} times"
    else:
      used.append(image)
  return used


def _numbered(
  entries: Sequence[Any], name: str, left_out: dict[str, str]
) -> list[tuple[str, dict[str, Any]]] | None:
  """Returns the annotations with a key for messages; None where they must be numbered anew."""
  found: dict[int, dict[str, Any]] = {}
  unused: dict[str, str] = {}
  for k, entry in enumerate(entries):
    if not isinstance(entry, dict):
      unused[f"{name}: annotations[{k}]"] = f"no annotation: {shown(entry)}"
      continue
    number = whole(entry.get("id"))
    if number is None or number < 1:
      return None
    if number in found:
      if found[number] != entry:
        return None
      unused[f"{name}: annotations[{k}]"] = f"a copy of annotation {number}"
    else:
      found[number] = entry
  left_out |= unused
  return [(annotation_key(name, number), entry) for number, entry in found.items()]


def _numbered_anew(
  entries: Sequence[Any], name: str, left_out: dict[str, str]
) -> list[tuple[str, dict[str, Any]]]:
  numbered = []
  for k, entry in enumerate(entries):
    if isinstance(entry, dict):
      numbered.append((annotation_key(name, k + 1), {**entry, "id": k + 1}))
    else:
      left_out[f"{name}: annotations[{k}]"] = f"no annotation: {shown(entry)}"
  return numbered


def annotation_key(name: str, number: int) -> str:
  """Names an annotation in messages.

  Args:
    name: name of its file.
    number: its number.
  """
  return f"{name}: annotation {number}"
