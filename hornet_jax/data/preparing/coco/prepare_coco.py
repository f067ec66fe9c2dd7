"""This module prepares COCO from its archives."""

import pathlib
import re

from etils import epath

from hornet_jax.data.datasets import find_prepared, resolve_data_dir
from hornet_jax.data.preparing.coco.coco import (
  FOLDERS,
  HOMEPAGE,
  NUM_IMAGES,
  archives_of,
  check_coco,
  find_coco,
)
from hornet_jax.data.preparing.coco.own_instances import UNNAMED, check_and_split_instances
from hornet_jax.data.preparing.coco.prepare_instances import described_in_files, keep_sizes
from hornet_jax.data.preparing.from_archives import Prepared, build_from_archives, check_counts
from hornet_jax.data.preparing.imagenet.imagenet_archives import check_space
from hornet_jax.data.preparing.left_out import LEFT_OUT

COCO = "coco"
"""The name of the dataset."""

_IN_MESSAGES = "COCO"


def prepare_coco(
  archives: pathlib.Path, data_dir: str, *, partial: bool = False, generated: bool = False
) -> Prepared:
  """Makes sure that COCO is prepared; `left_out.txt` names what is not used.

  Args:
    archives: folder of the archives, or of what they unpack to, see `find_coco`.
    data_dir: folder where datasets are prepared.
    partial: whether there may be other numbers of images or classes than published.
    generated: whether the images are made up.

  Raises:
    InputError: if an archive is missing, damaged or holds other numbers, the disk is too small,
      another process builds the dataset or the build failed.
  """
  if path := find_prepared(COCO, data_dir):
    return Prepared(path, existed=True)
  found = find_coco(archives)
  check_space(archives_of(found), resolve_data_dir(data_dir))
  check_coco(found, partial=partial)
  instances = check_and_split_instances(found)
  with described_in_files(instances, COCO, HOMEPAGE) as description:
    prepared = build_from_archives(
      COCO, data_dir, "instances", description, generated=generated, what=_IN_MESSAGES
    )
  keep_sizes(instances, COCO, data_dir)
  return prepared


def check_coco_counts(path: epath.Path) -> None:
  """Raises `InputError` unless the prepared dataset has as many images as the published one.

  Those that `left_out.txt` names were there, too.

  Args:
    path: folder of its files.
  """
  file = path / LEFT_OUT
  lines = [line.split("\t") for line in file.read_text().splitlines()] if file.exists() else []
  expected = {}
  for split, count in NUM_IMAGES.items():
    image = re.compile(rf".*{FOLDERS[split]}/[^/]+\.jpg")
    lost = [name for name, reason in lines if image.fullmatch(name) and reason != UNNAMED]
    expected[split] = count - len(lost)
  check_counts(COCO, path, expected)
