"""The sets of the suite, and how each is read and scored."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

from hornet_jax.data.preparing.imagenet.eval_archives import corruption_of
from hornet_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class SuiteSet:
  """A set of images whose classes are among the 1,000 of ImageNet-1K.

  Attributes:
    title: name that papers give it.
    dataset: name of the prepared dataset.
    split: split of it.
    own_classes: whether only the classes that occur in it compete, as its authors score it.
    ready: whether its images are cropped already: they are not enlarged and cropped again.
    key: number of a stored example that the scores need, besides its label.
  """

  title: str
  dataset: str
  split: str = "test"
  own_classes: bool = False
  ready: bool = False
  key: Callable[[dict[str, Any]], int] | None = None


def validation_number(example: dict[str, Any]) -> int:
  """Number of a validation image, from 1 on, as its file name ends.

  Raises:
    InputError: if the name is another one.
  """
  name = _file_name(example)
  match = re.search(r"ILSVRC2012_val_(\d{8})\.JPEG$", name)
  if match is None:
    raise InputError(
      f"images of imagenet2012/validation must have names such as ILSVRC2012_val_00000001.JPEG: "
      f"got {name!r}."
    )
  return int(match[1])


def corruption(example: dict[str, Any]) -> int:
  """Number of the corruption of an image of ImageNet-C, and how severe it is."""
  return corruption_of(_file_name(example))


def _file_name(example: dict[str, Any]) -> str:
  return example["file_name"].decode()


SETS = {
  "val": SuiteSet("ImageNet", "imagenet2012", "validation", key=validation_number),
  "v2": SuiteSet("ImageNet-V2", "imagenet_v2"),
  "a": SuiteSet("ImageNet-A", "imagenet_a", own_classes=True),
  "r": SuiteSet("ImageNet-R", "imagenet_r", own_classes=True),
  "sketch": SuiteSet("ImageNet-Sketch", "imagenet_sketch"),
  "c": SuiteSet("ImageNet-C", "imagenet_c", ready=True, key=corruption),
}
"""By the names of `--sets`; ReaL is other labels of `val`."""

REAL = "real"
