"""Somebody's own images and masks are read once and split here: what a dataset is made of."""

import collections
import dataclasses
import pathlib
from collections.abc import Iterable, Sequence

from hornet_jax.data.largest_sizes import LargestSizes
from hornet_jax.data.preparing.found_images import ALL
from hornet_jax.data.preparing.masks.check_pairs import PairFinding, check_pairs
from hornet_jax.data.preparing.masks.class_table import ClassTable, table_of_values
from hornet_jax.data.preparing.masks.found_pairs import FoundPairs, Pair
from hornet_jax.data.preparing.own_images import check_eval_fraction, split_by_hash
from hornet_jax.data.views.masks import IGNORED
from hornet_jax.errors import InputError
from hornet_jax.wording import counted


@dataclasses.dataclass(frozen=True)
class OwnPairs:
  """These tell of every file that was found: it is in `splits` or in `left_out`.

  Attributes:
    path: folder of the images.
    rule: description of how they were split.
    table: table of the classes.
    classes_rule: description of where the classes are from.
    splits: TFDS split name -> pairs with which nothing is wrong, sorted.
    left_out: file or folder -> reason why it is not used.
    findings: pair -> findings on it.
    note: see `FoundPairs`.
  """

  path: pathlib.Path
  rule: str
  table: ClassTable
  classes_rule: str
  splits: dict[str, list[Pair]]
  left_out: dict[pathlib.Path, str]
  findings: dict[Pair, PairFinding]
  note: str = ""

  @property
  def largest_sizes(self) -> LargestSizes:
    """Gives the largest height and width of each split's images."""
    sizes = LargestSizes()
    for split, pairs in self.splits.items():
      for pair in pairs:
        sizes.see(split, self.findings[pair].size)
    return sizes

  @property
  def num_turned(self) -> int:
    """Counts the images that their EXIF data turn."""
    return sum(self.findings[pair].is_turned for pairs in self.splits.values() for pair in pairs)

  def pixels(self, split: str) -> dict[int, int]:
    """Counts the pixels of each class in a split: class, or 255 for none -> pixels."""
    counts: collections.Counter[int] = collections.Counter()
    for pair in self.splits[split]:
      for code, count in self.findings[pair].pixels.items():
        counts[self.table.classes[code]] += count
    return dict(counts)

  def images(self, split: str) -> dict[int, int]:
    """Counts the images of a split in which each class occurs."""
    return dict(
      collections.Counter(
        label
        for pair in self.splits[split]
        for label in {self.table.classes[code] for code in self.findings[pair].pixels}
      )
    )


def check_and_split_pairs(
  found: FoundPairs,
  table: ClassTable | None = None,
  *,
  ignore: Sequence[int] | None = None,
  zero_is_ignored: bool = False,
  eval_fraction: float | None = None,
) -> OwnPairs:
  """Reads every image and mask once, finds the classes, and splits by rule where nothing else does.

  By the rule, the `eval_fraction` of images with the smallest SHA-256 of their path within the
  folder go to `test`, see `check_and_split`. Without a table each value that is found is a class,
  but for those that are ignored.

  Args:
    found: images and masks.
    table: table of the classes; None for that of the layout, or the values that are found.
    ignore: values that count for no class; None for 255 where there is no table, unless 0 is the
      only other value, and none where there is one.
    zero_is_ignored: whether 0 counts for no class either.
    eval_fraction: share of the images that is held out, in (0, 1); None for 0.1. It must be None
      where the images are split already.

  Raises:
    InputError: if a split has no pair, the values are too many, or an argument contradicts others.
  """
  eval_fraction = check_eval_fraction(eval_fraction, found.rule)
  table = table or found.table
  uncounted = [*(ignore or []), *([0] if zero_is_ignored else [])]
  if table:
    table = table.ignoring(uncounted)
  pairs = list(dict.fromkeys(pair for pairs in found.splits.values() for pair in pairs))
  fine, wrong = check_pairs(pairs, table)
  if not fine:
    count = counted(len(pairs), "pair")
    first = next(reason for reason in wrong.values() if not reason.endswith("is left out"))
    raise InputError(
      f"there must be images with masks to train on: expected some in {found.path}, found none "
      f"with which nothing is wrong ({count} left out, the first as: {first})."
    )
  if table:
    classes_rule = "those of the table"
  else:
    if ignore is None:
      uncounted += _usual(fine.values(), uncounted)
    table, classes_rule = _found_classes(fine.values(), uncounted)
  splits = {split: [pair for pair in of if pair in fine] for split, of in found.splits.items()}
  rule = found.rule
  if ALL in splits:
    masks = dict(splits[ALL])
    parts = split_by_hash(found.path, [(image, 0) for image in masks], eval_fraction)
    splits = {split: [(image, masks[image]) for image, _ in part] for split, part in parts.items()}
    rule = (
      f"by rule: the {eval_fraction:.4g} of the images (at least one, never all) with the smallest "
      "SHA-256 of their paths go to test"
    )
  empty = [split for split in splits if not splits[split]]
  if empty:
    raise InputError(
      f"there must be images with masks for {empty[0]}: found none in {found.path} with which "
      f"nothing is wrong, split {rule}. Hint: two images are the least."
    )
  left_out = found.left_out | wrong
  return OwnPairs(found.path, rule, table, classes_rule, splits, left_out, fine, found.note)


def _values(findings: Iterable[PairFinding]) -> list[int]:
  return sorted({value for finding in findings for value in finding.pixels})


def _usual(findings: Iterable[PairFinding], uncounted: Sequence[int]) -> list[int]:
  """Returns what is ignored where nobody says: 255, if other values are left to be told apart."""
  return [IGNORED] if _values(findings) != [0, IGNORED] or uncounted else []


def _found_classes(
  findings: Iterable[PairFinding], uncounted: Sequence[int]
) -> tuple[ClassTable, str]:
  """Makes a table of the values that are found, and says which are ignored."""
  found = _values(findings)
  table = table_of_values([value for value in found if value not in uncounted])
  ignored = [str(value) for value in found if value in uncounted]
  told = f"; of no class: {', '.join(ignored)}" if ignored else ""
  return table.ignoring(uncounted), f"the values of the masks, {', '.join(table.names)}{told}"
