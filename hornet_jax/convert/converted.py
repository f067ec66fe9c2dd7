"""A `Converted` is what a published file became; what does not fit is told in a list."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from flax import traverse_util

NO_TASK = ""
"""The task of weights that no head of a task comes with: of a backbone and its level norms."""
_LISTED = 20


@dataclasses.dataclass(frozen=True)
class Converted:
  """A `Converted` is a model from a published checkpoint.

  Attributes:
    variant: name of the model.
    overrides: fields in which it differs from the variant.
    num_classes: width K of its head; 0 for none.
    image_size: side of the variant's images in pixels.
    params: parameter tree of this package, float32.
    sources: path, as `write_model` has it -> name in the file of the array that it was made of.
    data: settings of the preprocessing that come with the file, with keys of `config.data`.
    task: name of the task of its head, or `NO_TASK`.
    settings: settings of that head, with keys of the config's section of the task.
    state: its other collections, such as batch statistics; empty where it has none.
    class_names: names of the classes, where the file has them; empty where not.
  """

  variant: str
  overrides: dict[str, Any]
  num_classes: int
  image_size: int
  params: dict[str, Any]
  sources: dict[str, str]
  data: dict[str, Any] = dataclasses.field(default_factory=dict)
  task: str = "classification"
  settings: dict[str, Any] = dataclasses.field(default_factory=dict)
  state: dict[str, Any] = dataclasses.field(default_factory=dict)
  class_names: tuple[str, ...] = ()


def in_words(variant: str, overrides: Mapping[str, Any]) -> str:
  """Describes a model in words."""
  differing = ", ".join(f"{key} {value}" for key, value in overrides.items())
  return f"{variant}{f' with {differing}' if differing else ''}"


def differences(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
  """Lists the paths of two parameter trees that are missing, left over or of other shapes."""
  expected = traverse_util.flatten_dict(dict(wanted), sep="/")
  got = traverse_util.flatten_dict(dict(given), sep="/")
  problems = [f"{path} is missing" for path in expected.keys() - got.keys()]
  problems += [f"{path} is left over" for path in got.keys() - expected.keys()]
  problems += [
    f"{path} is {got[path].shape} instead of {leaf.shape}"
    for path, leaf in expected.items()
    if path in got and got[path].shape != leaf.shape
  ]
  return sorted(problems)


def listed(problems: list[str]) -> str:
  """Returns the first few problems as text, and the number of the others."""
  more = f" and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
  return f"{'; '.join(problems[:_LISTED])}{more}"
