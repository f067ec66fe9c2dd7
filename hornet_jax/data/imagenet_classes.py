"""The classes of ImageNet-1K."""

import importlib.util
import pathlib


def synsets() -> list[str]:
  """WordNet ids of the 1,000 classes, in the order of the labels.

  Source: the list that comes with TensorFlow Datasets, which is not imported for it.
  """
  spec = importlib.util.find_spec("tensorflow_datasets")
  assert spec, "in requirements.txt"
  assert spec.submodule_search_locations, "a package"
  root = pathlib.Path(spec.submodule_search_locations[0])
  return (root / "datasets" / "imagenet2012" / "labels.txt").read_text().split()
