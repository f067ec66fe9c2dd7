"""`prepare` builds a known dataset's files, or those of your own images or records."""

import argparse
import contextlib
import pathlib
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import NoReturn

from etils import epath

from hornet_jax.cli.arguments import positive_int
from hornet_jax.cli.prepare_folder import run_folder
from hornet_jax.cli.prepare_smaller import QUALITY, run_smaller
from hornet_jax.data.datasets import DATASETS, find_prepared, open_split
from hornet_jax.data.eval_archives import EVAL_SETS
from hornet_jax.data.generated import (
  write_eval_archives,
  write_imagenet22k_archives,
  write_imagenet_archives,
)
from hornet_jax.data.imagenet22k import BUILDS
from hornet_jax.data.left_out import LEFT_OUT
from hornet_jax.data.pixel_format import MAX_PIXELS
from hornet_jax.data.prepare import (
  convert,
  prepare,
  prepare_fashion_mnist,
)
from hornet_jax.data.prepare_imagenet import (
  Prepared,
  check_counts,
  is_generated,
  prepare_eval_set,
  prepare_imagenet,
  prepare_imagenet22k,
)
from hornet_jax.errors import InputError, unknown_name
from hornet_jax.paths import absolute
from hornet_jax.wording import counted

_NAMED_AT_MOST = 20
_IMAGENET_22K = tuple(f"imagenet22k/{build}" for build in BUILDS)
# Flag -> the datasets that it is for.
_FLAGS = {
  "path": ("folder", "tfrecord"),
  "name": ("folder", "smaller"),
  "short_side": ("smaller",),
  "quality": ("smaller",),
  "eval_fraction": ("folder",),
  "eval_path": ("folder",),
  "labels": ("folder",),
  "channels": ("folder",),
  "max_value": ("folder",),
  "max_pixels": ("folder",),
  "idx": ("fashion_mnist",),
  "archives": ("imagenet2012", *_IMAGENET_22K, *EVAL_SETS),
  "classes": _IMAGENET_22K,
  "beam_options": _IMAGENET_22K,
  "partial": ("imagenet2012", *EVAL_SETS),
  "generated": ("imagenet2012", *_IMAGENET_22K, *EVAL_SETS),
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
    help=f"{known}; or `folder` for your own images; `smaller` for a copy of a prepared dataset "
    "with smaller images; `tfrecord` for a TFRecord dataset of TFDS",
  )
  parser.add_argument(
    "--path",
    type=pathlib.Path,
    help="folder: of class folders, or of the images that --labels names; tfrecord: of the version",
  )
  parser.add_argument("--name", help="folder: of the new dataset; smaller: of the one to copy")
  parser.add_argument(
    "--short_side", type=positive_int, help="smaller: pixels, such as 256 for training at 224"
  )
  parser.add_argument(
    "--quality", type=positive_int, help=f"smaller: of the JPEGs, 1 to 100 (default: {QUALITY})"
  )
  parser.add_argument(
    "--eval_fraction",
    type=float,
    help="folder: share of each class held out where the folders make no split (default: 0.1)",
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
  parser.add_argument("--idx", type=pathlib.Path, help="fashion_mnist: folder of its idx files")
  parser.add_argument(
    "--archives",
    type=epath.Path,
    help="imagenet2012: folder of the two published tar files; imagenet22k: folder of one tar a "
    "synset, or one tar of all; the sets around ImageNet: folder of their archives, or one of "
    "them, or what they unpack to",
  )
  parser.add_argument(
    "--classes", type=pathlib.Path, help="imagenet22k: text file of the synsets to keep"
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
    help="imagenet2012 and the sets around it: the archives hold fewer images, on purpose",
  )
  parser.add_argument(
    "--generated",
    action="store_true",
    default=None,
    help="imagenet2012, imagenet22k and the sets around ImageNet: make-believe images, to try a "
    "run; needs a --data_dir of its own",
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
  if args.dataset == "smaller":
    return run_smaller(args)
  if args.dataset == "tfrecord":
    if not args.path:
      raise InputError("`prepare tfrecord` needs --path, the folder of a version.")
    print(f"in {convert(args.path, args.data_dir)}")
    return 0
  if args.dataset not in DATASETS:
    raise unknown_name("dataset", args.dataset, [*DATASETS, "folder", "smaller", "tfrecord"])
  path = _prepare_imagenet(args) if args.dataset in _FLAGS["archives"] else _prepare_other(args)
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


def _prepare_imagenet(args: argparse.Namespace) -> epath.Path:
  if args.generated and (args.archives or not args.data_dir):
    raise InputError(
      "--generated needs a --data_dir of its own and no --archives: nobody should take its images "
      "for ImageNet."
    )
  path = find_prepared(args.dataset, args.data_dir)
  if path:
    prepared = Prepared(path, existed=True)
  elif args.generated:
    with tempfile.TemporaryDirectory() as temporary:
      _write_archives(args.dataset, pathlib.Path(temporary))
      prepared = _from_archives(args, epath.Path(temporary))
  elif args.archives:
    prepared = _from_archives(args, absolute(args.archives))
  else:
    prepared = Prepared(prepare(args.dataset, args.data_dir), existed=True)
  if prepared.existed:
    _check_existing(args, prepared.path)
  _report_imagenet(prepared)
  return prepared.path


def _check_existing(args: argparse.Namespace, path: epath.Path) -> None:
  """Tells which flags are not used as the dataset exists; raises `InputError` if it is partial."""
  generated = is_generated(path)
  real_is_wanted = bool(args.archives) or not generated
  if real_is_wanted and not args.partial and not args.generated:
    check_counts(args.dataset, path)
  unread = [f"--{key}" for key in ("archives", "classes", "beam_options") if getattr(args, key)]
  if unread:
    print(f"already prepared in {path}: {', '.join(unread)} not read")
  if args.generated and not generated:
    print(f"already prepared in {path}, not from generated images: --generated not used")


def _report_imagenet(prepared: Prepared) -> None:
  if is_generated(prepared.path):
    print("generated images, not ImageNet")
  for folder in prepared.removed:
    print(f"removed what an interrupted build left in {folder}")
  left_out = prepared.path / LEFT_OUT
  if left_out.exists() and (lines := left_out.read_text().splitlines()):
    print(f"left out, {len(lines):,} in all, every one named in {left_out}:")
    for line in lines[:_NAMED_AT_MOST]:
      print(f"  {line.replace(chr(9), ': ')}")


def _write_archives(dataset: str, folder: pathlib.Path) -> None:
  if dataset in EVAL_SETS:
    write_eval_archives(dataset, folder)
  elif dataset == "imagenet2012":
    write_imagenet_archives(folder)
  else:
    write_imagenet22k_archives(folder)


def _from_archives(args: argparse.Namespace, archives: epath.Path) -> Prepared:
  generated = bool(args.generated)
  if args.dataset in _IMAGENET_22K:
    beam = args.beam_options or ""
    return prepare_imagenet22k(
      args.dataset, archives, args.data_dir, args.classes, beam, generated=generated
    )
  local, partial = pathlib.Path(archives), bool(args.partial) or generated
  options = {"partial": partial, "generated": generated}
  if args.dataset == "imagenet2012":
    return prepare_imagenet(local, args.data_dir, **options)
  return prepare_eval_set(args.dataset, local, args.data_dir, **options)


def _check_flags(args: argparse.Namespace) -> None:
  """Raises `InputError` for a flag that the dataset has no use for."""
  for flag, users in _FLAGS.items():
    if getattr(args, flag) is not None and args.dataset not in users:
      raise InputError(f"--{flag} belongs to {' and '.join(users)}: got dataset {args.dataset!r}.")
