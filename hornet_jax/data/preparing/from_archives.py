"""This module builds datasets from archives that a person has to get, real or made up."""

import dataclasses
import json
from collections.abc import Mapping, Sequence

from etils import epath

from hornet_jax.data.catalogue import DATASETS
from hornet_jax.data.datasets import find_prepared, resolve_data_dir
from hornet_jax.data.preparing.building import building, remove_incomplete
from hornet_jax.data.preparing.prepare import build
from hornet_jax.errors import InputError

GENERATED = "generated.txt"
"""Beside the versions of a dataset that is made up."""


@dataclasses.dataclass(frozen=True)
class Prepared:
  """A `Prepared` describes a dataset that is ready.

  Attributes:
    path: folder of its files.
    existed: whether it was there already, so that no archive was read.
    removed: paths that an interrupted build had left, now deleted.
  """

  path: epath.Path
  existed: bool = False
  removed: Sequence[str] = ()


def build_from_archives(
  name: str, data_dir: str, kind: str, *arguments: str, generated: bool, what: str = "ImageNet"
) -> Prepared:
  """Builds a dataset, unless another process has just done so.

  Args:
    name: name in `DATASETS`.
    data_dir: folder where datasets are prepared.
    kind: kind of builder, see `build`.
    *arguments: arguments of the builder.
    generated: whether the archives are made up.
    what: name of what they then are not.

  Raises:
    InputError: if another process builds the dataset or the build failed.
  """
  folder = resolve_data_dir(data_dir) / DATASETS[name].tfds_name
  with building(folder) as lock:
    if path := find_prepared(name, data_dir):  # by another process, a moment ago
      return Prepared(path, existed=True)
    removed = remove_incomplete(folder, held=bool(lock.keep_open))
    # Before the build: nobody shall find the images without it.
    marker = folder / GENERATED
    if generated:
      marker.parent.mkdir(parents=True, exist_ok=True)
      marker.write_text(f"{generated_note(what)}\n")
    else:
      marker.unlink(missing_ok=True)
    path = build(name, data_dir, kind, *arguments, keep_open=lock.keep_open)
  return Prepared(path, removed=removed)


def is_generated(path: epath.Path) -> bool:
  """Returns whether the images of a prepared dataset are made up.

  Args:
    path: folder of its files.
  """
  return (path.parent / GENERATED).exists()


def generated_note(what: str) -> str:
  """Says that images are made up.

  Args:
    what: name of what they are not.
  """
  return f"generated images, not {what}"


def check_counts(name: str, path: epath.Path, expected: Mapping[str, int]) -> None:
  """Raises `InputError` unless a prepared dataset has as many images as the published one.

  Args:
    name: name of the dataset.
    path: folder of its files.
    expected: split -> number of its images.
  """
  info = json.loads((path / "dataset_info.json").read_text())
  found = {split["name"]: sum(map(int, split["shardLengths"])) for split in info["splits"]}
  for split, count in expected.items():
    if found.get(split) != count:
      made_up = ", generated ones" if is_generated(path) else ""
      raise InputError(
        f"{path} must have the {count:,} images of {name}/{split}: it has {found.get(split, 0):,}"
        f"{made_up}. Hint: choose another --data_dir, delete that folder to build it again, or say "
        "--partial where fewer are meant."
      )
