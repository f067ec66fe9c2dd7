"""The backbone of a network for dense prediction, with its level norms, in official files."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from hornet_jax.convert.architecture import is_whole, other_fields, read_fields
from hornet_jax.convert.converted import in_words
from hornet_jax.models import VARIANTS, HorNet, create_model

PREFIX = "backbone."
"""What the names of a backbone's arrays begin with."""
COUNTER = "num_batches_tracked"
"""The last part of the names of arrays that only a norm without a momentum reads."""

_LEVEL_NORM = re.compile(r"norm(\d)\.(weight|bias)")
_LEAVES = {"weight": "scale", "bias": "bias"}
# Source: official configs. Filters of the GF models of segmentation, and of detection's largest.
_GF_FILTERS = ("7x7", "7x7", (24, 13), (12, 7))


def level_norm_path(name: str) -> str | None:
  """Gives our path, with dots, of an array of a level's norm; None for any other array.

  Args:
    name: name in an official file, such as `backbone.norm0.weight`.
  """
  match = _LEVEL_NORM.fullmatch(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
  return f"head.norms.norm_{match[1]}.{_LEAVES[match[2]]}" if match else None


def without_prefix(names: Iterable[str]) -> dict[str, str]:
  """Gives the names that the backbone alone has for its arrays, without norms of the levels."""
  return {
    name: name.removeprefix(PREFIX)
    for name in names
    if name.startswith(PREFIX) and level_norm_path(name) is None
  }


@dataclasses.dataclass(frozen=True)
class DenseBackbone:
  """A `DenseBackbone` is what the arrays of a file tell of a backbone.

  Attributes:
    variant: name of the published model that is nearest to it.
    overrides: fields in which the model that is made of it differs from the variant.
    base_dim: width of the stem; None where the stem is missing.
    hint: a sentence for a person whose file is of another model than the published ones.
  """

  variant: str
  overrides: dict[str, Any]
  base_dim: int | None
  hint: str


def read_backbone(
  state_dict: Mapping[str, np.ndarray], *, any_architecture: bool = False
) -> DenseBackbone:
  """Tells which HorNet a network has as its backbone, from names and shapes of its arrays.

  Args:
    state_dict: arrays of the whole network by official names.
    any_architecture: whether it may be a HorNet that was not published.
  """
  names = without_prefix(state_dict)
  fields = read_fields({name: state_dict[source] for source, name in names.items()})
  variant = _nearest(fields)
  others = other_fields(variant, fields)
  known = others.keys() <= {"filters"} and tuple(others.get("filters", ())) in ((), _GF_FILTERS)
  overrides = others if known or (any_architecture and is_whole(fields)) else {}
  hint = ""
  if not known and not overrides and is_whole(fields):
    hint = (
      f" Hint: it looks like {in_words(variant, others)}; where that is meant, "
      "`hornet convert --any_architecture` makes a file of it that the other commands read."
    )
  return DenseBackbone(variant, overrides, fields.get("base_dim"), hint)


def _nearest(fields: Mapping[str, Any]) -> str:
  """Returns the published model that agrees with most fields; filters count last, by their kind."""
  published = [
    name
    for name, variant in VARIANTS.items()
    if variant.constructor is HorNet and variant.origin == "paper"
  ]
  kinds = [isinstance(size, str) for size in fields.get("filters", ())]

  def distance(name: str) -> tuple[int, bool, int]:
    others = other_fields(name, fields)
    filters = getattr(create_model(name), "filters", ())
    own = [isinstance(size, str) for size in filters]
    return len(others.keys() - {"filters"}), own != kinds, len(others)

  return min(published, key=distance)
