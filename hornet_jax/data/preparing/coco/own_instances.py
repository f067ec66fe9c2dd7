"""Images and annotations are read once and split here: what a dataset of things is made of."""

import collections
import dataclasses
import pathlib
from collections.abc import Iterable, Sequence

from hornet_jax.data.datasets import OBJECTS
from hornet_jax.data.largest_sizes import LargestSizes
from hornet_jax.data.preparing.coco.check_instances import CheckedImage, check_instances
from hornet_jax.data.preparing.coco.coco_file import CocoFile, read_coco
from hornet_jax.data.preparing.coco.find_instances import FoundInstances
from hornet_jax.data.preparing.coco.image_places import told_place
from hornet_jax.data.preparing.found_images import ALL
from hornet_jax.data.preparing.own_images import check_eval_fraction, split_by_hash
from hornet_jax.data.views.instances import read_instances
from hornet_jax.errors import InputError

UNNAMED = "beside the images that are used"
"""Why a file is not used that lies among images."""

_LEAST_SIDE = 1.0  # pixel, of a thing that is trained on


@dataclasses.dataclass(frozen=True)
class OwnInstances:
  """These tell of every image and annotation: it is in `splits` or in `left_out`.

  Attributes:
    path: folder that they lie in.
    rule: description of how they were split.
    categories: name of each class, in the order of the labels -> its number in the annotations.
    splits: TFDS split name -> images with which nothing is wrong.
    left_out: image, annotation or other file -> reason why it is not used.
    notes: sentences on what was made of files as a whole.
  """

  path: pathlib.Path
  rule: str
  categories: dict[str, int]
  splits: dict[str, list[CheckedImage]]
  left_out: dict[str, str]
  notes: Sequence[str]

  @property
  def largest_sizes(self) -> LargestSizes:
    """Gives the largest height and width of each split's images."""
    sizes = LargestSizes()
    for split, images in self.splits.items():
      for image in images:
        sizes.see(split, image.size)
    return sizes

  def objects(self, split: str) -> list[int]:
    """Counts the things of each class in a split, crowds among them."""
    found = (thing.stored["label"] for image in self.splits[split] for thing in image.objects)
    count = collections.Counter(found)
    return [count[label] for label in range(len(self.categories))]

  def images(self, split: str) -> list[int]:
    """Counts the images of a split that each class is on."""
    count = collections.Counter(
      label
      for image in self.splits[split]
      for label in {thing.stored["label"] for thing in image.objects}
    )
    return [count[label] for label in range(len(self.categories))]

  def remarks(self) -> list[str]:
    """Says what a person should know of the images and things as a whole."""
    images = [image for of_split in self.splits.values() for image in of_split]
    things = [(thing, image) for image in images for thing in image.objects]
    boxes = [(thing.stored["bbox"], image.size) for thing, image in things]
    places = collections.Counter(image.place for image in images)
    counts = {
      "images that are in several splits": sum(count > 1 for count in places.values()),
      "images without annotations, which are not trained on but with data.empty_images": sum(
        not image.objects for image in images
      ),
      "images turned as their EXIF data say, whose annotations must fit what is seen then": sum(
        image.is_turned for image in images
      ),
      "crowds, which are not trained on": sum(thing.stored["is_crowd"] for thing, _ in things),
      "things without a mask, for which their box is taken": sum(
        not thing.has_mask for thing, _ in things
      ),
      "masks without a pixel": sum(thing.is_empty for thing, _ in things),
      "things under a pixel wide or high, which are not trained on": sum(
        min(box[2:]) < _LEAST_SIDE for box, _ in boxes
      ),
      "boxes that reach out of their image (a `bbox` is x, y, width, height)": sum(
        _reaches_out(box, size) for box, size in boxes
      ),
      "boxes that are not around their masks": sum(thing.is_unlike for thing, _ in things),
    }
    most = max((_trained_on(image) for image in self.splits["train"]), default=0)
    return [
      *self.notes,
      *(f"{what}: {count:,}" for what, count in counts.items() if count),
      f"most things on an image that are trained on: {most:,}",
    ]


def check_and_split_instances(
  found: FoundInstances, eval_fraction: float | None = None
) -> OwnInstances:
  """Reads every image and annotation once, and splits by rule where nothing else does.

  By the rule, the `eval_fraction` of images with the smallest SHA-256 of their path within the
  folder go to `test`, see `check_and_split`. The classes are the categories, in the order of their
  numbers; one that only others belong to (`supercategory`), as Roboflow writes them, is none.

  Args:
    found: annotations and images.
    eval_fraction: share of the images that is held out, in (0, 1); None for 0.1. It must be None
      where the images are split already.

  Raises:
    InputError: if a file is no such file, files have other categories, or a split has no image.
  """
  eval_fraction = check_eval_fraction(eval_fraction, found.rule)
  files = {split: read_coco(source.read(), source.name) for split, source in found.sources.items()}
  names, notes = _classes(list(files.values()))
  labels = {number: label for label, number in enumerate(names)}
  splits: dict[str, list[CheckedImage]] = {}
  left_out = dict(found.left_out)
  for split, source in found.sources.items():
    file = files.pop(split)  # whose annotations take more memory than what is stored of them
    notes += file.notes
    splits[split], wrong = check_instances(file, source.images, labels)
    left_out |= wrong
    if not splits[split]:
      reason = next(iter(wrong.values()), "there is none")
      raise InputError(
        f"{source.name} must tell of images: found none with which nothing is wrong "
        f"({len(wrong):,} left out, the first as: {reason}). Hint: --images=FOLDER says where "
        "files are that it does not find."
      )
  left_out |= _unnamed(found, splits, left_out)
  rule = found.rule
  if ALL in splits:
    splits = _by_hash(found.path, splits[ALL], eval_fraction)
    rule = (
      f"by rule: the {eval_fraction:.4g} of the images (at least one, never all) with the smallest "
      "SHA-256 of their paths go to test"
    )
  categories = {name: number for number, name in names.items()}
  return OwnInstances(found.path, rule, categories, splits, left_out, notes)


def _classes(files: Sequence[CocoFile]) -> tuple[dict[int, str], list[str]]:
  """Joins the categories of files: number -> name, in the order of the numbers, and notes."""
  names: dict[int, str] = {}
  for file in files:
    names |= file.categories
  for file in files:
    for number, name in file.categories.items():
      others = [key for key, other in names.items() if other == name and key != number]
      if names[number] != name or others:
        raise InputError(
          f"files must have the same categories: {file.name} calls {number} {name!r}, and another "
          f"file calls {others[0] if others else number} "
          f"{name if others else names[number]!r}. Hint: export all splits together."
        )
  used = {
    annotation.get("category_id")
    for file in files
    for image in file.images
    for annotation in image.annotations
    if isinstance(annotation.get("category_id"), int | float)
  }
  above = {name for file in files for name in file.supercategories}
  unused = [number for number, name in names.items() if name in above and number not in used]
  if len(unused) == len(names):
    unused = []
  notes = [
    f"no class, as other categories belong to it and nothing is of it: {names[number]}"
    for number in unused
  ]
  return {number: name for number, name in sorted(names.items()) if number not in unused}, notes


def _unnamed(
  found: FoundInstances, splits: dict[str, list[CheckedImage]], left_out: Iterable[str]
) -> dict[str, str]:
  """Names the files that lie among images and are used for nothing."""
  used = {told_place(image.place) for images in splits.values() for image in images}
  used |= {str(file) for source in found.sources.values() for file in source.files}
  used |= set(left_out)
  places = (place for source in found.sources.values() for place in source.images.every())
  return {name: UNNAMED for name in map(told_place, places) if name not in used}


def _trained_on(image: CheckedImage) -> int:
  """Counts the things on an image that are trained on."""
  stored = [thing.stored for thing in image.objects]
  things = {key: [one[key] for one in stored] for key in ("bbox", "label", "is_crowd", "area")}
  rles = {"rle": [one["rle"].encode() for one in stored]}
  example = {"height": image.size[0], "width": image.size[1], OBJECTS: things | rles}
  return len(read_instances(example).for_training())


def _reaches_out(box: Sequence[float], size: tuple[int, int]) -> bool:
  """Tells whether a box (x, y, width, height) reaches out of an image by more than a pixel."""
  x, y, width, height = box
  return min(x, y) < -1 or x + width > size[1] + 1 or y + height > size[0] + 1


def _by_hash(
  path: pathlib.Path, images: list[CheckedImage], eval_fraction: float
) -> dict[str, list[CheckedImage]]:
  if len(images) < 2:
    raise InputError(
      f"there must be images to evaluate on: found one image in {path}. Hint: two are the least."
    )
  by_path = {path / image.file_name: image for image in images}
  parts = split_by_hash(path, [(file, 0) for file in by_path], eval_fraction)
  return {split: [by_path[file] for file, _ in part] for split, part in parts.items()}
