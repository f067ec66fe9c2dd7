"""`prepare pairs` makes a dataset of somebody's own images and masks."""

import argparse

from etils import epath
from tabulate import tabulate

from hornet_jax.cli.own_dataset import tell_left_out, tell_split
from hornet_jax.data.preparing.masks.class_table import read_class_table
from hornet_jax.data.preparing.masks.find_pairs import find_in_two_folders, find_pairs
from hornet_jax.data.preparing.masks.found_pairs import FoundPairs
from hornet_jax.data.preparing.masks.own_pairs import OwnPairs, check_and_split_pairs
from hornet_jax.data.preparing.masks.prepare_pairs import prepare_pairs
from hornet_jax.data.preparing.prepare import check_name_is_free
from hornet_jax.data.views.masks import IGNORED
from hornet_jax.errors import InputError
from hornet_jax.wording import counted


def values(text: str) -> list[int]:
  """Reads the values of --ignore, separated by commas."""
  parts = [part.strip() for part in text.split(",")]
  if not all(part.isdecimal() for part in parts):
    raise argparse.ArgumentTypeError(f"expected whole numbers such as 255 or 0,255, got {text!r}")
  return [int(part) for part in parts]


def run_pairs(args: argparse.Namespace) -> int:
  """Runs the command; its flags are those of `prepare`."""
  if not args.name or bool(args.path) == bool(args.images or args.masks):
    raise InputError(
      "`prepare pairs` needs --name, of the dataset, and --path, of a folder of images and masks, "
      "or two folders by --images and --masks."
    )
  check_name_is_free(args.name, args.data_dir)
  pairs = check_and_split_pairs(
    _find(args),
    read_class_table(args.classes) if args.classes else None,
    ignore=args.ignore,
    zero_is_ignored=bool(args.zero_is_ignored),
    eval_fraction=args.eval_fraction,
  )
  path = prepare_pairs(pairs, args.name, args.data_dir)
  _report(pairs, path, args.name)
  print(
    f"in {path}; to train on it: --config.data.dataset={args.name} and a config that learns from "
    "masks, such as those of UperNet in `hornet configs`"
  )
  return 0


def _find(args: argparse.Namespace) -> FoundPairs:
  if args.path:
    return find_pairs(args.path)
  if not (args.images and args.masks):
    raise InputError("`prepare pairs` needs both --images and --masks: got one of them.")
  return find_in_two_folders(args.images, args.masks)


def _report(pairs: OwnPairs, path: epath.Path, name: str) -> None:
  """Prints classes, their balance, and everything that is not used."""
  tell_split(pairs.rule, pairs.splits, name)
  print(f"{counted(len(pairs.table.names), 'class')}: {pairs.classes_rule}")
  pixels = {split: pairs.pixels(split) for split in pairs.splits}
  images = {split: pairs.images(split) for split in pairs.splits}
  print(tabulate(_rows(pairs, pixels, images), headers=_headings(pairs), disable_numparse=True))
  for split, of_split in images.items():
    empty = [name for k, name in enumerate(pairs.table.names) if k not in of_split]
    if len(empty) == len(pairs.table.names):
      print(f"no pixel of {split} counts: nothing can be measured on it")
    elif empty:
      print(f"classes without a pixel in {split}: {', '.join(empty)}")
  if len(pairs.table.names) == 1:
    print("there is one class alone: nothing can be learned from it")
  if pairs.num_turned:
    print(
      f"turned as their EXIF data say: {counted(pairs.num_turned, 'image')}, whose masks must show "
      "what is seen then"
    )
  if pairs.note:
    print(f"not read: {pairs.note}")
  tell_left_out(pairs.left_out, path)
  if any(reason.endswith("is no class") for reason in pairs.left_out.values()):
    print(
      "what is no class gets one by a row of --classes=FILE.csv, or counts for none by --ignore"
    )


def _headings(pairs: OwnPairs) -> list[str]:
  return ["class", *(f"{split} {what}" for split in pairs.splits for what in ("images", "pixels"))]


def _rows(
  pairs: OwnPairs, pixels: dict[str, dict[int, int]], images: dict[str, dict[int, int]]
) -> list[list[str]]:
  """Makes a row of each class: in how many images it is, and its share of the pixels."""
  rows = []
  for label, class_name in [*enumerate(pairs.table.names), (IGNORED, "(none)")]:
    row = [class_name]
    for split in pairs.splits:
      share = pixels[split].get(label, 0) / sum(pixels[split].values())
      row += [f"{images[split].get(label, 0):,}", f"{share:.1%}"]
    rows.append(row)
  return [*rows, ["all", *(t for s in pairs.splits.values() for t in (f"{len(s):,}", ""))]]
