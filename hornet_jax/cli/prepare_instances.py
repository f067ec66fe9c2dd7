"""`prepare instances` makes a dataset of own images with annotations in COCO's format."""

import argparse

from etils import epath
from tabulate import tabulate

from hornet_jax.cli.own_dataset import tell_left_out, tell_split
from hornet_jax.data.preparing.coco.find_instances import (
  FoundInstances,
  find_in_files,
  find_instances,
)
from hornet_jax.data.preparing.coco.own_instances import OwnInstances, check_and_split_instances
from hornet_jax.data.preparing.coco.prepare_instances import prepare_instances
from hornet_jax.data.preparing.prepare import check_name_is_free
from hornet_jax.errors import InputError
from hornet_jax.wording import counted


def run_instances(args: argparse.Namespace) -> int:
  """Runs the command; its flags are those of `prepare`."""
  if not args.name or bool(args.path) == bool(args.annotations):
    raise InputError(
      "`prepare instances` needs --name, of the dataset, and --path, of a folder of images and "
      "annotations in COCO's format, or --annotations, of one file."
    )
  check_name_is_free(args.name, args.data_dir)
  instances = check_and_split_instances(_find(args), args.eval_fraction)
  path = prepare_instances(instances, args.name, args.data_dir)
  report_instances(instances, path, args.name)
  print(
    f"in {path}; to train on it: --config.data.dataset={args.name} and a config that learns from "
    "objects, such as those of Mask R-CNN in `hornet configs`"
  )
  return 0


def _find(args: argparse.Namespace) -> FoundInstances:
  if args.annotations:
    return find_in_files(args.annotations, args.images, args.eval_annotations)
  if args.images or args.eval_annotations:
    raise InputError(
      "--images and --eval_annotations belong to --annotations: expected none of them with --path."
    )
  return find_instances(args.path)


def report_instances(instances: OwnInstances, path: epath.Path, name: str) -> None:
  """Prints classes, their balance, what is to be known, and everything that is not used.

  Args:
    instances: images and things of the dataset.
    path: folder of its files.
    name: its name.
  """
  tell_split(instances.rule, instances.splits, name)
  counts = {
    split: (instances.images(split), instances.objects(split)) for split in instances.splits
  }
  rows = [
    [class_name, *(column[k] for columns in counts.values() for column in columns)]
    for k, class_name in enumerate(instances.categories)
  ]
  totals = [
    total
    for split, (_, things) in counts.items()
    for total in (len(instances.splits[split]), sum(things))
  ]
  headers = ["class", *(f"{split} {what}" for split in counts for what in ("images", "things"))]
  print(tabulate([*rows, ["all", *totals]], headers=headers, intfmt=",", disable_numparse=[0]))
  for split, (of_split, _) in counts.items():
    names = zip(instances.categories, of_split, strict=True)
    empty = [class_name for class_name, count in names if count == 0]
    if empty:
      print(f"{counted(len(empty), 'class')} without a thing in {split}: {', '.join(empty)}")
  for remark in instances.remarks():
    print(remark)
  tell_left_out(instances.left_out, path)
