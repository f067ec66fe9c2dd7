"""This module prepares datasets of images and the things on them."""

import contextlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator

from etils import epath

from hornet_jax.data.category_ids import CATEGORIES, categories_text
from hornet_jax.data.datasets import open_split, resolve_data_dir
from hornet_jax.data.largest_sizes import LARGEST_SIZES
from hornet_jax.data.preparing.building import building
from hornet_jax.data.preparing.coco.build_instances import described
from hornet_jax.data.preparing.coco.own_instances import OwnInstances
from hornet_jax.data.preparing.left_out import LEFT_OUT, left_out_text
from hornet_jax.data.preparing.prepare import build, check_name_is_free, printable
from hornet_jax.data.seen_on_images import image_sizes

VERSION = "1.0.0"
"""The version of each such dataset."""


def prepare_instances(instances: OwnInstances, name: str, data_dir: str) -> epath.Path:
  """Makes a dataset of images and things; `left_out.txt` beside it names what is not used.

  Args:
    instances: images and things, as `check_and_split_instances` left them.
    name: name of the new dataset, for `data.dataset`.
    data_dir: folder where datasets are prepared.

  Returns:
    The folder of the dataset's files.

  Raises:
    InputError: if the name is taken or no name for a dataset, or the build failed.
  """
  check_name_is_free(name, data_dir)
  with (
    building(resolve_data_dir(data_dir) / name) as lock,
    described_in_files(instances, name) as description,
  ):
    prepared = build(name, data_dir, "instances", description, keep_open=lock.keep_open)
  keep_sizes(instances, name, data_dir)
  return prepared


@contextlib.contextmanager
def described_in_files(instances: OwnInstances, name: str, homepage: str = "") -> Iterator[str]:
  """Writes for the time of a `with` what `build_instances` reads, and gives the path.

  Args:
    instances: images and things.
    name: name of the dataset.
    homepage: address of its page; empty for none.
  """
  with tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary)
    splits = {}
    for split, images in instances.splits.items():
      splits[split] = os.fspath(folder / f"{split}.jsonl")
      with open(splits[split], "w") as file:
        file.writelines(json.dumps(described(image)) + "\n" for image in images)
    named = [(printable(path), reason) for path, reason in instances.left_out.items()]
    beside = {
      CATEGORIES: categories_text(instances.categories),
      LARGEST_SIZES: json.dumps(instances.largest_sizes.of_split, indent=2),
      **({LEFT_OUT: left_out_text(named)} if named else {}),
    }
    description = {
      "name": name,
      "version": VERSION,
      "description": f"Things on images of {printable(instances.path)}, split {instances.rule}.",
      "homepage": homepage,
      "class_names": list(instances.categories),
      "splits": splits,
      "beside": beside,
    }
    (folder / "description.json").write_text(json.dumps(description))
    yield os.fspath(folder / "description.json")


def keep_sizes(instances: OwnInstances, name: str, data_dir: str) -> None:
  """Reads the sizes of a prepared dataset's images once, so that training finds them kept.

  Args:
    instances: images and things that it was made of.
    name: name of the dataset.
    data_dir: folder where datasets are prepared.
  """
  for split in instances.splits:
    image_sizes(open_split(name, split, data_dir))
