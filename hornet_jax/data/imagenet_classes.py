"""The classes of ImageNet-1K."""

import functools
import importlib.util
import pathlib


@functools.cache
def synsets() -> list[str]:
  """WordNet ids of the 1,000 classes, in the order of the labels.

  Source: the list that comes with TensorFlow Datasets, which is not imported for it.
  """
  return (_folder() / "labels.txt").read_text().split()


def validation_synsets() -> list[str]:
  """Of each of the 50,000 validation images, in the order of their file names.

  Source: likewise.
  """
  return (_folder() / "validation_labels.txt").read_text().split()


def _folder() -> pathlib.Path:
  spec = importlib.util.find_spec("tensorflow_datasets")
  assert spec, "in requirements.txt"
  assert spec.submodule_search_locations, "a package"
  return pathlib.Path(spec.submodule_search_locations[0]) / "datasets" / "imagenet2012"
