"""One official run, to hold a config against."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from hornet_jax.config.flat import flatten

Compared = tuple[str, Any, Any, bool]
"""Key, value here, official value, whether they are equal."""

TRANSFORMS = "transforms in float32"
"""The official value of `model.global_filter`: every implementation that gives these numbers."""
ON_IMAGENET_1K, ON_IMAGENET_22K = "a run on ImageNet-1K", "a run on ImageNet-22K"
"""The official values of `init.checkpoint`: which file or run it is, a person says."""


@dataclasses.dataclass(frozen=True)
class Recipe:
  """One official run.

  Attributes:
    variant: our name of the model.
    dataset: our name, without the build.
    settings: config key -> official value, lists for tuples.
    deviations: what is different in every run of ours, whatever its config.
  """

  variant: str
  dataset: str
  settings: dict[str, Any]
  deviations: tuple[str, ...]


def compare(config: Mapping[str, Any], recipe: Recipe) -> list[Compared]:
  """Every recorded key of a config beside the official run."""
  ours = flatten(config)
  return [
    (key, ours[key], official, _equal(ours[key], official))
    for key, official in recipe.settings.items()
  ]


def _equal(ours: Any, official: Any) -> bool:
  if official in (ON_IMAGENET_1K, ON_IMAGENET_22K):
    return bool(ours)
  if official == TRANSFORMS:
    return ours in ("dft", "fft")  # the same numbers
  if isinstance(official, list):
    return len(ours) == len(official) and all(map(_equal, ours, official))
  if isinstance(official, float):
    return math.isclose(ours, official)
  return ours == official
