"""This module finds files of annotations in COCO's format, and the folders of their images."""

import dataclasses
import pathlib
import re
from collections.abc import Callable, Sequence

from hornet_jax.data.preparing.coco.image_places import ImagePlaces
from hornet_jax.data.preparing.folder import is_hidden
from hornet_jax.data.preparing.found_images import ALL, SPLIT_NAMES
from hornet_jax.errors import InputError

_ROBOFLOW = "_annotations.coco.json"
_OTHERS = ("captions", "person_keypoints", "panoptic", "stuff", "image_info")
_FOLDERS = ("images", "image", "imgs", "data")


@dataclasses.dataclass(frozen=True)
class Source:
  """A file of annotations, and where its images are.

  Attributes:
    name: name of the file for messages.
    read: function that reads it.
    images: places of its images.
    files: files beside the images that are read otherwise.
  """

  name: str
  read: Callable[[], bytes]
  images: ImagePlaces
  files: Sequence[pathlib.Path] = ()


@dataclasses.dataclass(frozen=True)
class FoundInstances:
  """These are the annotations and images that somebody means.

  Attributes:
    path: folder that they lie in.
    sources: TFDS split name -> file of annotations; `ALL` alone where it is yet to be split.
    rule: description of how they are split; empty where they are yet to be.
    left_out: file -> reason why it is not read.
  """

  path: pathlib.Path
  sources: dict[str, Source]
  rule: str
  left_out: dict[str, str]


def find_instances(path: pathlib.Path) -> FoundInstances:
  """Finds the annotations of a folder.

  Either a file beside the images of each split, `path/train/*.json` and so on, as Roboflow writes
  them, or files in `path/annotations` or `path` whose names have those of splits in them
  (`instances_train2017.json`), or one file there, which is split by rule. Images lie in
  `images/SPLIT`, `SPLIT` or `images`, or in `path` itself.

  Args:
    path: path of the folder.

  Raises:
    InputError: if there are no annotations, none to train on, or two files are of one split.
  """
  if not path.is_dir():
    raise InputError(f"`path` must be a folder of images and annotations: {path} is none.")
  folders = [entry for entry in sorted(path.iterdir()) if entry.is_dir() and not is_hidden(entry)]
  files: dict[str, list[pathlib.Path]] = {}
  for folder in folders:
    split = _split_of(folder.name)
    if split and (beside := _json_files(folder)):
      files.setdefault(split, []).extend(beside)
  left_out: dict[str, str] = {}
  if not files:
    annotations = path / "annotations"
    inside = _json_files(annotations) if annotations.is_dir() else []
    for file in inside or _json_files(path):
      if file.name.startswith(_OTHERS):
        left_out[str(file)] = "annotations of another kind, by its name"
      else:
        files.setdefault(_split_of(file.stem) or ALL, []).append(file)
  if not files:
    raise InputError(
      f"`path` must hold annotations in COCO's format: expected such as {path}/train/{_ROBOFLOW}, "
      f"{path}/annotations/instances_train.json or {path}/annotations.json, found none there. Hint:"
      " --annotations=FILE and --images=FOLDER name any two."
    )
  for split, several in files.items():
    if len(several) > 1:
      what = "without the name of a split" if split == ALL else f"of the split {split!r}"
      raise InputError(
        f"there must be one file of annotations a split: {several[0]} and {several[1]} are both "
        f"{what}. Hint: --annotations=FILE and --images=FOLDER name the one that is meant."
      )
  return _found(
    path, {split: _source(path, file, split) for split, [file] in files.items()}, left_out
  )


def find_in_files(
  annotations: pathlib.Path,
  images: pathlib.Path | None = None,
  eval_annotations: pathlib.Path | None = None,
) -> FoundInstances:
  """Takes one file of annotations, which is split by rule, or two.

  Args:
    annotations: path of the file to train on.
    images: folder of all images; None for that of the file.
    eval_annotations: path of the file to evaluate on; None for a part of the other one.

  Raises:
    InputError: if a file or the folder is not there.
  """
  for file in filter(None, (annotations, eval_annotations)):
    if not file.is_file():
      raise InputError(f"annotations must be a file in COCO's format: {file} is none.")
  if images is not None and not images.is_dir():
    raise InputError(f"`images` must be a folder: {images} is none.")

  def source(file: pathlib.Path) -> Source:
    used = [annotations, *([eval_annotations] if eval_annotations else [])]
    return Source(str(file), file.read_bytes, ImagePlaces([images or file.parent]), used)

  folder = images or annotations.parent
  if eval_annotations is None:
    return FoundInstances(folder, {ALL: source(annotations)}, "", {})
  sources = {"train": source(annotations), "validation": source(eval_annotations)}
  return _found(folder, sources, {})


def _found(
  path: pathlib.Path, sources: dict[str, Source], left_out: dict[str, str]
) -> FoundInstances:
  if len(sources) == 1 and sources.keys() <= {"train", ALL}:
    return FoundInstances(path, {ALL: next(iter(sources.values()))}, "", left_out)
  if "train" not in sources:
    names = ", ".join(source.name for source in sources.values())
    raise InputError(f"there must be annotations to train on: expected some of train, got {names}.")
  unused = {sources[ALL].name: "annotations of no split, by its name"} if ALL in sources else {}
  order = [split for split in dict.fromkeys(SPLIT_NAMES.values()) if split in sources]
  rule = f"by the files of {', '.join(order)}"
  return FoundInstances(path, {split: sources[split] for split in order}, rule, left_out | unused)


def _split_of(name: str) -> str | None:
  """Returns the split that a name such as `instances_val2017` has in it."""
  words = re.findall("[a-z]+", name.lower())
  return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)


def _json_files(folder: pathlib.Path) -> list[pathlib.Path]:
  return [
    file
    for file in sorted(folder.iterdir())
    if file.suffix.lower() == ".json" and file.is_file() and not is_hidden(file)
  ]


def _source(path: pathlib.Path, file: pathlib.Path, split: str) -> Source:
  """Finds the images of a file: the first of these folders is looked through for what is unused."""
  roots: list[pathlib.Path] = []
  above = [path / name for name in _FOLDERS if (path / name).is_dir()]
  if file.parent not in (path, path / "annotations"):
    roots.append(file.parent)
  else:
    for folder in [*above, path]:
      entries = sorted(entry for entry in folder.iterdir() if entry.is_dir())
      roots += [entry for entry in entries if split != ALL and _split_of(entry.name) == split]
  roots += [*above, path, file.parent]
  return Source(str(file), file.read_bytes, ImagePlaces(list(dict.fromkeys(roots))), [file])
