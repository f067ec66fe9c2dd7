"""`prepare` builds a known dataset's files, or those of your own images or records."""

import argparse
import contextlib
import pathlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

from etils import epath

from hornet_jax.cli.arguments import positive_int
from hornet_jax.cli.prepare_archives import IMAGENET_22K, run_archives
from hornet_jax.cli.prepare_folder import run_folder
from hornet_jax.cli.prepare_instances import run_instances
from hornet_jax.cli.prepare_pairs import run_pairs, values
from hornet_jax.cli.prepare_smaller import QUALITY, run_smaller
from hornet_jax.data.catalogue import DATASETS
from hornet_jax.data.datasets import find_prepared, open_split
from hornet_jax.data.pixels.pixel_format import MAX_PIXELS
from hornet_jax.data.preparing.imagenet.eval_archives import EVAL_SETS
from hornet_jax.data.preparing.prepare import (
  convert,
  prepare,
  prepare_fashion_mnist,
)
from hornet_jax.errors import InputError, unknown_name
from hornet_jax.wording import counted

_ARCHIVES = ("imagenet2012", *IMAGENET_22K, *EVAL_SETS, "ade20k", "coco")
_OWN = ("folder", "pairs", "instances", "smaller", "tfrecord")
# Flag -> the datasets that it is for.
_FLAGS = {
  "path": ("folder", "tfrecord", "pairs", "instances"),
  "name": ("folder", "smaller", "pairs", "instances"),
  "short_side": ("smaller",),
  "quality": ("smaller",),
  "eval_fraction": ("folder", "pairs", "instances"),
  "eval_path": ("folder",),
  "labels": ("folder",),
  "channels": ("folder",),
  "max_value": ("folder",),
  "max_pixels": ("folder",),
  "idx": ("fashion_mnist",),
  "images": ("pairs", "instances"),
  "annotations": ("instances",),
  "eval_annotations": ("instances",),
  "masks": ("pairs",),
  "ignore": ("pairs",),
  "zero_is_ignored": ("pairs",),
  "archives": _ARCHIVES,
  "classes": (*IMAGENET_22K, "pairs"),
  "beam_options": IMAGENET_22K,
  "partial": ("imagenet2012", *EVAL_SETS, "ade20k", "coco"),
  "generated": _ARCHIVES,
}


OWN_HELP = True
"""Whether `add_arguments` adds `--help` itself."""


class _Help(argparse.Action):
  """Prints the help; after the name of a dataset only the flags that are for it."""

  def __call__(
    self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, *_: object
  ) -> None:
    dataset = getattr(namespace, "dataset", None)
    for action in parser._actions:
      if dataset and dataset not in _FLAGS.get(action.dest, (dataset,)):
        action.help = argparse.SUPPRESS
    parser.print_help()
    parser.exit()


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument("-h", "--help", action=_Help, nargs=0, help="after a dataset: on its flags")
  known = ", ".join(DATASETS)
  parser.add_argument(
    "dataset",
    help=f"{known}; or `folder` for your own images; `pairs` for your own images and masks of the "
    "classes of their pixels; `instances` for your own images with annotations in COCO's format; "
    "`smaller` for a copy of a prepared dataset with smaller images; `tfrecord` for a TFRecord "
    "dataset of TFDS",
  )
  parser.add_argument(
    "--path",
    type=pathlib.Path,
    help="folder: of class folders, or of the images that --labels names; pairs: of `images` and "
    "`masks`, or of Cityscapes' `leftImg8bit` and `gtFine`; instances: of images and annotations; "
    "tfrecord: of the version",
  )
  parser.add_argument(
    "--name", help="folder, pairs, instances: of the new dataset; smaller: of the one to copy"
  )
  parser.add_argument(
    "--short_side", type=positive_int, help="smaller: pixels, such as 256 for training at 224"
  )
  parser.add_argument(
    "--quality", type=positive_int, help=f"smaller: of the JPEGs, 1 to 100 (default: {QUALITY})"
  )
  parser.add_argument(
    "--eval_fraction",
    type=float,
    help="folder, pairs, instances: share of each class, or of all, held out where the folders "
    "make no split (default: 0.1)",
  )
  parser.add_argument(
    "--eval_path", type=pathlib.Path, help="folder: class folders elsewhere, to evaluate on"
  )
  parser.add_argument(
    "--labels",
    type=pathlib.Path,
    help="folder: CSV file with the columns path, label and, if it splits them, split",
  )
  parser.add_argument(
    "--channels",
    type=positive_int,
    help="folder: 1 for grey, 4 for RGB with opacity (default: 3, or the number that the images "
    "have if it is none of these)",
  )
  parser.add_argument(
    "--max_value",
    type=float,
    help="folder: brightest value of files with more than 8 bits, such as 4095 for 12 bits "
    "(default: the largest of their type)",
  )
  parser.add_argument(
    "--max_pixels",
    type=int,
    help=f"folder: pixels of the largest image, 0 for no limit (default: {MAX_PIXELS:,})",
  )
  parser.add_argument(
    "--images",
    type=pathlib.Path,
    help="pairs: folder of the images, for --path; instances: of those that --annotations names "
    "(default: the folder of that file)",
  )
  parser.add_argument(
    "--annotations",
    type=pathlib.Path,
    help="instances: file of annotations in COCO's format, for --path",
  )
  parser.add_argument(
    "--eval_annotations",
    type=pathlib.Path,
    help="instances: another one, to evaluate on (default: a part of --annotations)",
  )
  parser.add_argument("--masks", type=pathlib.Path, help="pairs: folder of the masks, likewise")
  parser.add_argument(
    "--ignore",
    type=values,
    help="pairs: values of the masks that count for no class, such as 254,255 (default: 255 where "
    "no table tells the classes)",
  )
  parser.add_argument(
    "--zero_is_ignored",
    action="store_true",
    default=None,
    help="pairs: the value 0 counts for no class either",
  )
  parser.add_argument("--idx", type=pathlib.Path, help="fashion_mnist: folder of its idx files")
  parser.add_argument(
    "--archives",
    type=epath.Path,
    help="imagenet2012: folder of the two published tar files; imagenet22k: folder of one tar a "
    "synset, or one tar of all; the sets around ImageNet, ade20k, coco: folder of their archives, "
    "or of what they unpack to, or (not coco) one of them",
  )
  parser.add_argument(
    "--classes",
    type=pathlib.Path,
    help="imagenet22k: text file of the synsets to keep; pairs: CSV file with the columns name and "
    "value, or name, r, g and b; the name `ignored` counts for no class",
  )
  parser.add_argument(
    "--beam_options",
    help="imagenet22k, of one tar a synset: build it on Apache Beam with these flags of it, such "
    "as --beam_options='--runner=DirectRunner --direct_running_mode=multi_processing "
    "--direct_num_workers=8' (default: one process)",
  )
  parser.add_argument(
    "--partial",
    action="store_true",
    default=None,
    help="imagenet2012, the sets around it, ade20k, coco: the archives hold fewer images, on "
    "purpose",
  )
  parser.add_argument(
    "--generated",
    action="store_true",
    default=None,
    help="imagenet2012, imagenet22k, the sets around ImageNet, ade20k, coco: make-believe images, "
    "to try a run; needs a --data_dir of its own",
  )
  parser.add_argument(
    "--data_dir", default="", help="default: $TFDS_DATA_DIR or ~/tensorflow_datasets"
  )


def run(args: argparse.Namespace) -> int:
  _check_flags(args)
  with _told_of_sigterm():
    return _run(args)


def _run(args: argparse.Namespace) -> int:
  if args.dataset == "folder":
    return run_folder(args)
  if args.dataset == "pairs":
    return run_pairs(args)
  if args.dataset == "instances":
    return run_instances(args)
  if args.dataset == "smaller":
    return run_smaller(args)
  if args.dataset == "tfrecord":
    if not args.path:
      raise InputError("`prepare tfrecord` needs --path, the folder of a version.")
    print(f"in {convert(args.path, args.data_dir)}")
    return 0
  if args.dataset not in DATASETS:
    raise unknown_name("dataset", args.dataset, [*DATASETS, *_OWN])
  path = run_archives(args) if args.dataset in _FLAGS["archives"] else _prepare_other(args)
  known = DATASETS[args.dataset]
  splits = (name.partition("[")[0] for name in (known.train_split, known.eval_split) if name)
  for split in dict.fromkeys(splits):
    opened = open_split(args.dataset, split, args.data_dir)
    images = counted(len(opened.source), "image")
    print(f"{opened.name}: {images}, {counted(len(opened.class_names), 'class')}")
  print(f"in {path}")
  return 0


@contextlib.contextmanager
def _told_of_sigterm() -> Iterator[None]:
  """Makes SIGTERM print one line and end the builder at once, in the body of a `with`."""

  def end(number: int, frame: object) -> NoReturn:
    print("hornet: ended by SIGTERM", file=sys.stderr)
    raise SystemExit(128 + number)

  if threading.current_thread() is not threading.main_thread():
    yield
    return
  before = signal.signal(signal.SIGTERM, end)
  try:
    yield
  finally:
    signal.signal(signal.SIGTERM, before)


def _prepare_other(args: argparse.Namespace) -> epath.Path:
  path = find_prepared(args.dataset, args.data_dir)
  if path and args.idx:
    print(f"already prepared in {path}: --idx not read")
  if args.idx:
    return prepare_fashion_mnist(args.idx, args.data_dir)
  return prepare(args.dataset, args.data_dir)


def _check_flags(args: argparse.Namespace) -> None:
  """Raises `InputError` for a flag that the dataset has no use for."""
  for flag, users in _FLAGS.items():
    if getattr(args, flag) is not None and args.dataset not in users:
      raise InputError(f"--{flag} belongs to {' and '.join(users)}: got dataset {args.dataset!r}.")
