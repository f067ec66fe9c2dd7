"""Somebody's own images are decoded once and split here: what a dataset is made of."""

import collections
import dataclasses
import hashlib
import itertools
import operator
import os
import pathlib

from hornet_jax.data.image_info import ImageInfo
from hornet_jax.data.pixels.pixel_format import MAX_PIXELS
from hornet_jax.data.preparing.check_images import check_images
from hornet_jax.data.preparing.found_images import ALL, FoundImages, Item
from hornet_jax.errors import InputError
from hornet_jax.wording import counted

_EVAL_FRACTION = 0.1
_DARK = 64  # of 255
_CUT_OFF = 0.98


@dataclasses.dataclass(frozen=True)
class OwnImages:
  """These tell of every file that was found: it is in `splits` or in `left_out`.

  Attributes:
    path: folder of the images.
    rule: description of how they were split.
    class_names: names of the classes, sorted; a label is a position in it.
    splits: TFDS split name -> (file, label) of every image that decodes, sorted.
    left_out: file or folder -> reason why it is not used.
    image_info: description of the pixels.
    brightest: largest value of all pixels, 0 to 255.
    num_clipped: number of files with values below 0 or above the largest.
    num_of_pages: number of files with pages that are not read.
  """

  path: pathlib.Path
  rule: str
  class_names: list[str]
  splits: dict[str, list[Item]]
  left_out: dict[pathlib.Path, str]
  image_info: ImageInfo
  brightest: int
  num_clipped: int
  num_of_pages: int

  def counts(self, split: str) -> list[int]:
    """Counts the images of each class in a split."""
    count = collections.Counter(label for _, label in self.splits[split])
    return [count[label] for label in range(len(self.class_names))]

  @property
  def is_dark(self) -> bool:
    """Tells whether the values of the files seem to be of fewer bits than their type."""
    return self.brightest < _DARK

  @property
  def is_cut_off(self) -> bool:
    """Tells whether nearly all values are the largest."""
    return min(self.image_info.mean) > _CUT_OFF


def check_and_split(
  found: FoundImages,
  eval_fraction: float | None = None,
  *,
  channels: int | None = None,
  max_value: float = 0.0,
  max_pixels: int = MAX_PIXELS,
) -> OwnImages:
  """Decodes every image once, and splits by rule where nothing else does.

  By the rule, of each class the `eval_fraction` of images (at least one, and never all) with the
  smallest SHA-256 of their path within the folder go to `test`, so that the split does not depend
  on the order of a listing.

  Args:
    found: files and labels.
    eval_fraction: share of each class that is held out, in (0, 1); None for 0.1. It must be None
      where the images are split already.
    channels: number of channels, see `check_images`.
    max_value: largest value of a pixel, see `PixelFormat`.
    max_pixels: pixels of the largest image, see `PixelFormat`.

  Raises:
    InputError: if a split has no image, or `eval_fraction` is not a share or not used.
  """
  eval_fraction = check_eval_fraction(eval_fraction, found.rule)
  files = list(dict.fromkeys(file for items in found.splits.values() for file, _ in items))
  checked = check_images(files, channels, max_value, max_pixels)
  left_out = found.left_out | checked.undecodable
  splits = {
    split: [item for item in items if item[0] not in left_out]
    for split, items in found.splits.items()
  }
  rule = found.rule
  if ALL in splits:
    splits = split_by_hash(found.path, splits[ALL], eval_fraction)
    rule = (
      f"by rule: of each class the {eval_fraction:.4g} (at least one image, never all) with the "
      "smallest SHA-256 of their paths go to test"
    )
  if not splits.get("train"):
    reason = next(iter(checked.undecodable.values()), "")
    first = f", the first as: {reason}" if reason else ""
    raise InputError(
      f"`path` must hold images to train on: expected some in {found.path}, found none that "
      f"decodes ({counted(len(left_out), 'file')} left out{first})."
    )
  empty = [split for split, items in splits.items() if not items]
  if empty:
    raise InputError(
      f"`path` must hold images to evaluate on: expected some for {empty[0]}, found none that "
      f"decodes, split {rule}. Hint: two images of a class are the least."
    )
  info = checked.image_info(file for file, _ in splits["train"])
  return OwnImages(
    found.path,
    rule,
    found.class_names,
    splits,
    left_out,
    info,
    checked.brightest,
    checked.num_clipped,
    checked.num_of_pages,
  )


def check_eval_fraction(eval_fraction: float | None, rule: str) -> float:
  """Returns the share that is held out, 0.1 for None.

  Args:
    eval_fraction: what was asked for.
    rule: description of a split that is there already; empty for none.

  Raises:
    InputError: if it is no share, or not used.
  """
  if eval_fraction is not None and rule:
    raise InputError(
      f"`eval_fraction` is not used where images are split already: expected none, got "
      f"{eval_fraction} with a split {rule}."
    )
  eval_fraction = _EVAL_FRACTION if eval_fraction is None else eval_fraction
  if not 0 < eval_fraction < 1:
    raise InputError(f"`eval_fraction` must be > 0 and < 1: got {eval_fraction}.")
  return eval_fraction


def split_by_hash(path: pathlib.Path, items: list[Item], fraction: float) -> dict[str, list[Item]]:
  """Splits by the rule of `check_and_split`.

  Args:
    path: folder of the images.
    items: files and labels, sorted by label.
    fraction: share of each class that goes to `test`.
  """

  def digest(item: Item) -> bytes:
    return hashlib.sha256(os.fsencode(item[0].relative_to(path).as_posix())).digest()

  splits: dict[str, list[Item]] = {"train": [], "test": []}
  # Items are sorted by label.
  for _, group in itertools.groupby(items, key=operator.itemgetter(1)):
    of_class = sorted(group, key=digest)
    held_out = min(max(round(fraction * len(of_class)), 1), len(of_class) - 1)
    splits["test"] += sorted(of_class[:held_out])
    splits["train"] += sorted(of_class[held_out:])
  return splits
