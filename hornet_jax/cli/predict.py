"""`predict IMAGE...` tells what a trained model says of image files."""

import argparse
import collections
import contextlib
import csv
import dataclasses
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath
from PIL import Image

from hornet_jax.cli import config as config_flag
from hornet_jax.cli.arguments import positive_int
from hornet_jax.data.preparing.image_files import find_images
from hornet_jax.errors import InputError
from hornet_jax.files import make_folder, write_file
from hornet_jax.paths import absolute
from hornet_jax.pretrained.task_model import TaskModel, load_task_model, predict_files
from hornet_jax.train.presentation import Answer


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    "images", nargs="+", metavar="IMAGE", help="image files of any size, folders of them, patterns"
  )
  parser.add_argument(
    "--workdir", required=True, help="folder of a trained run, or a file or name of weights"
  )
  parser.add_argument(
    "--checkpoint", default="last", help="last, best (of those kept) or a step (default: last)"
  )
  parser.add_argument("--top", type=positive_int, default=3, help="classes to show (default: 3)")
  parser.add_argument("--json", action="store_true", help="for programs")
  parser.set_defaults(takes_test_settings=True)
  parser.add_argument(
    "--out", metavar="FOLDER", help="folder for pictures, such as masks, that the task has"
  )
  parser.add_argument("--csv", metavar="FILE", help="table to write besides, one line an image")


def run(args: argparse.Namespace) -> int:
  paths = find_images(args.images)
  settings = config_flag.load_test_settings(args.overrides)
  loaded = load_task_model(args.workdir, args.checkpoint, settings)
  columns = loaded.task.answer_columns(args.top)
  draws = loaded.task.draws
  if args.out and not draws:
    raise InputError(
      f"--out must come with a model that draws pictures, such as masks: {args.workdir} draws "
      "none. Hint: --csv and --json write what it says."
    )
  unreadable = 0
  names = _picture_names(paths) if args.out else {}
  if args.out:
    _check_pictures_are_new(epath.Path(args.out), names, draws)
    make_folder(epath.Path(args.out))  # what cannot be written is told before anything is computed
  answers: list[tuple[str, Answer]] = []
  with _table(args.csv, columns) as table, _Printer(args.json) as printer:
    for path, answer in predict_files(loaded, paths, top=args.top):
      if isinstance(answer, InputError):
        unreadable += 1
        print(f"hornet: {answer}", file=sys.stderr, flush=True)
        printer.write({"image": path, "error": str(answer)})
        table.writerow([path, *("" for _ in columns), str(answer)])
        continue
      printer.write({"image": path, **answer.record}, f"{path}: {answer.line}")
      table.writerows([path, *row, ""] for row in answer.rows)
      if args.out:
        _write_pictures(epath.Path(args.out), names[path], answer.pictures)
        answers.append((path, dataclasses.replace(answer, pictures={})))
  documents = _documents(loaded, answers)
  for name, text in documents.items():
    write_file(epath.Path(args.out) / name, text.encode())
  if args.out and unreadable < len(paths):
    beside = f", and {', '.join(documents)}" if documents else ""
    of_each = f"{', '.join(draws)} of each{beside}"
    print(f"hornet: {of_each} are in {absolute(args.out)}", file=sys.stderr)
  elif draws and not args.out:
    print(f"hornet: --out=FOLDER writes pictures: {', '.join(draws)}", file=sys.stderr)
  if unreadable:
    written = f"; the table of all is in {args.csv}" if args.csv else ""
    raise InputError(
      f"IMAGE must be files that can be read: {unreadable} of {len(paths)} cannot, each is named "
      f"above{written}."
    )
  return 0


def _documents(loaded: TaskModel, answers: Sequence[tuple[str, Answer]]) -> dict[str, str]:
  """Writes what lies beside the pictures; nothing where no image could be read."""
  numbers = loaded.class_numbers or range(1, len(loaded.class_names) + 1)
  classes = list(zip(loaded.class_names, numbers, strict=True))
  return loaded.task.documents(answers, classes) if answers else {}


def _picture_names(paths: Sequence[str]) -> dict[str, str]:
  """Names what the pictures of each image begin with: as the image, without what all have.

  Images that differ in their endings alone keep these, and so does one whose name without it is
  another's with it.
  """
  absolute = {path: os.path.abspath(path) for path in paths}
  folders = {os.path.dirname(path) for path in absolute.values()}
  shared = os.path.commonpath(folders) if folders else ""
  whole = {path: os.path.relpath(absolute[path], shared) for path in absolute}
  short = {path: os.path.splitext(name)[0] for path, name in whole.items()}
  files = set(whole.values())  # of which one may be given twice
  counts = collections.Counter([*(os.path.splitext(name)[0] for name in files), *files])
  return {path: name if counts[name] == 1 else whole[path] for path, name in short.items()}


def _check_pictures_are_new(
  folder: epath.Path, names: Mapping[str, str], draws: Sequence[str]
) -> None:
  """Raises `InputError` where a picture would take the place of a file that lies beside images.

  That may be one of the images, or the mask that somebody has drawn of one.
  """
  with_images = {os.path.realpath(os.path.dirname(path)) for path in names}
  for name in names.values():
    for file in (_picture_file(folder, name, what) for what in draws):
      if os.path.realpath(file.parent) in with_images and os.path.lexists(file):
        raise InputError(
          f"--out must be a folder where pictures replace no file that lies beside images: {file} "
          "is there. Hint: choose a folder of their own."
        )


def _picture_file(folder: epath.Path, name: str, what: str) -> epath.Path:
  return folder / f"{name}_{what}.png"


def _write_pictures(folder: epath.Path, name: str, pictures: Mapping[str, np.ndarray]) -> None:
  """Writes each picture of an image as NAME_WHAT.png."""
  for what, pixels in pictures.items():
    file = _picture_file(folder, name, what)
    make_folder(file.parent)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "png")
    write_file(file, encoded.getvalue())


@contextlib.contextmanager
def _table(file: str | None, columns: Sequence[str]) -> Iterator[Any]:
  """Opens the table and writes its first line; goes nowhere without a file."""
  if file is None:
    yield csv.writer(_Nowhere())
    return
  path = epath.Path(file)
  make_folder(path.parent)
  try:
    opened = path.open("wb")
  except OSError as error:
    raise InputError(f"--csv must be a file that can be written: {file}: {error}") from error
  # Names of files are bytes; those that are no text stay what they are.
  with io.TextIOWrapper(opened, encoding="utf-8", errors="surrogateescape", newline="") as text:
    table = csv.writer(text)
    table.writerow(["image", *columns, "error"])
    yield table


class _Nowhere:
  def write(self, text: str) -> None:
    """Forgets a line."""


class _Printer:
  """Prints each answer as soon as it is there: a line, or an entry of a JSON list."""

  def __init__(self, as_json: bool):
    self._as_json, self._separator = as_json, "[\n"

  def __enter__(self) -> "_Printer":
    return self

  def write(self, record: dict[str, Any], line: str = "") -> None:
    """Prints one answer."""
    if self._as_json:
      print(self._separator, json.dumps(record, indent=2), sep="", end="", flush=True)
      self._separator = ",\n"
    elif line:
      print(line, flush=True)

  def __exit__(self, *_: object) -> None:
    if self._as_json:
      print("[]" if self._separator == "[\n" else "\n]")
