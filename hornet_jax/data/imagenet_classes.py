"""This module lists the classes of ImageNet-1K."""

import functools
import importlib.util
import pathlib


@functools.cache
def synsets() -> list[str]:
  """Returns the WordNet ids of the 1,000 classes, in the order of the labels.

  Source: ILSVRC 2012; a test compares them with the list of TensorFlow Datasets.
  """
  return pathlib.Path(__file__).with_name("imagenet_synsets.txt").read_text().split()


def validation_synsets() -> list[str]:
  """Returns the WordNet id of each of the 50,000 validation images, in the order of file names.

  Source: the list that comes with TensorFlow Datasets, which is not imported for it.
  """
  spec = importlib.util.find_spec("tensorflow_datasets")
  assert spec, "whatever prepares ImageNet has it"
  assert spec.submodule_search_locations, "a package"
  folder = pathlib.Path(spec.submodule_search_locations[0]) / "datasets" / "imagenet2012"
  return (folder / "validation_labels.txt").read_text().split()
