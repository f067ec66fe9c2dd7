"""The models by name."""

import dataclasses
import fnmatch
from collections.abc import Sequence
from typing import Any, Literal, overload

from hornet_jax.errors import InputError, unknown_name
from hornet_jax.models.features import HorNetFeatures
from hornet_jax.models.hornet import HorNet


@dataclasses.dataclass(frozen=True)
class Variant:
  """A named model.

  Attributes:
    origin: `"paper"` for the ten published models, `"ours"` for small ones that
      have no counterpart there.
    image_size: side of the images that the model is meant for, in pixels.
    fields: what it sets of `HorNet`.
  """

  origin: Literal["paper", "ours"]
  image_size: int
  fields: dict[str, Any]


def _paper(base_dim: int, image_size: int, *late_filters) -> Variant:
  fields = {"base_dim": base_dim, "filters": ("7x7", "7x7", *late_filters)}
  return Variant("paper", image_size, fields)


def _small(base_dim: int, depths: tuple[int, ...], orders: tuple[int, ...], *filters) -> Variant:
  fields = {
    "base_dim": base_dim,
    "depths": depths,
    "orders": orders,
    "filters": filters,
    "patch_size": 2,
    # 1e-6 as in the deep models would keep a few blocks from learning in a short run.
    "layer_scale_init": 0.1,
  }
  return Variant("ours", 32, fields)


# Source of the paper's rows: official hornet.py, registered models. A spectral size is
# (h, w // 2 + 1) of the stage's grid at the image size.
VARIANTS: dict[str, Variant] = {
  "hornet_tiny_7x7": _paper(64, 224, "7x7", "7x7"),
  "hornet_tiny_gf": _paper(64, 224, (14, 8), (7, 4)),
  "hornet_small_7x7": _paper(96, 224, "7x7", "7x7"),
  "hornet_small_gf": _paper(96, 224, (14, 8), (7, 4)),
  "hornet_base_7x7": _paper(128, 224, "7x7", "7x7"),
  "hornet_base_gf": _paper(128, 224, (14, 8), (7, 4)),
  "hornet_base_gf_img384": _paper(128, 384, (24, 13), (12, 7)),
  "hornet_large_7x7": _paper(192, 224, "7x7", "7x7"),
  "hornet_large_gf": _paper(192, 224, (14, 8), (7, 4)),
  "hornet_large_gf_img384": _paper(192, 384, (24, 13), (12, 7)),
  # For minutes on a CPU.
  "hornet_micro_7x7": _small(16, (1, 1, 2, 1), (2, 3, 4, 5), "7x7", "7x7", "7x7", "7x7"),
  "hornet_micro_gf": _small(16, (1, 1, 2, 1), (2, 3, 4, 5), "7x7", "7x7", (4, 3), (2, 2)),
  # For seconds: two stages, one block each.
  "hornet_nano_7x7": _small(8, (1, 1), (2, 3), "7x7", "7x7"),
  "hornet_nano_gf": _small(8, (1, 1), (2, 3), "7x7", (8, 5)),
}


# What other libraries call the models of the paper.
ALIASES: dict[str, str] = {
  # Source: mmpretrain, backbones/hornet.py (`arch`) and configs/hornet/metafile.yml.
  "hornet-tiny": "hornet_tiny_7x7",
  "hornet-tiny-gf": "hornet_tiny_gf",
  "hornet-small": "hornet_small_7x7",
  "hornet-small-gf": "hornet_small_gf",
  "hornet-base": "hornet_base_7x7",
  "hornet-base-gf": "hornet_base_gf",
  "hornet-large": "hornet_large_7x7",
  "hornet-large-gf": "hornet_large_gf",
  # Deviation: mmpretrain's two have filters (24, 12) and (13, 7), of which no weights are
  # published; these are the official (24, 13) and (12, 7).
  "hornet-base-gf384": "hornet_base_gf_img384",
  "hornet-large-gf384": "hornet_large_gf_img384",
  "hornet-tiny_3rdparty_in1k": "hornet_tiny_7x7",
  "hornet-tiny-gf_3rdparty_in1k": "hornet_tiny_gf",
  "hornet-small_3rdparty_in1k": "hornet_small_7x7",
  "hornet-small-gf_3rdparty_in1k": "hornet_small_gf",
  "hornet-base_3rdparty_in1k": "hornet_base_7x7",
  "hornet-base-gf_3rdparty_in1k": "hornet_base_gf",
  # Source: keras_cv_attention_models, hornet/hornet.py (`model_name`).
  "hornet_tiny": "hornet_tiny_7x7",
  "hornet_small": "hornet_small_7x7",
  "hornet_base": "hornet_base_7x7",
  "hornet_large": "hornet_large_7x7",
}


@overload
def create_model(
  name: str, *, features_only: Literal[False] = False, out_indices: None = None, **overrides: Any
) -> HorNet:
  """The classifier."""


@overload
def create_model(
  name: str,
  *,
  features_only: Literal[True],
  out_indices: Sequence[int] | None = None,
  **overrides: Any,
) -> HorNetFeatures:
  """Its feature maps."""


def create_model(
  name: str,
  *,
  features_only: bool = False,
  out_indices: Sequence[int] | None = None,
  **overrides: Any,
) -> HorNet | HorNetFeatures:
  """Builds the model of that name.

  Args:
    name: a key of `VARIANTS` or `ALIASES`; `list_models()` lists the former.
    features_only: return the feature maps of the stages, without last norm and head.
    out_indices: with `features_only`, which stages; None for all.
    **overrides: fields of `HorNet` to set otherwise, such as `num_classes`.

  Returns:
    An unbound Flax module: `model.init(key, images)`,
    `model.apply({"params": params}, images) -> (logits, out)`; with `features_only`
    `-> [features, ...]`.

  Raises:
    InputError: if the name or a field is unknown, or a value out of range.
  """
  known = {f.name for f in dataclasses.fields(HorNet)} - {"parent", "name"}
  for field in overrides:
    if field not in known:
      raise unknown_name("model field", field, known)
  model = HorNet(**{**get_variant(name).fields, **overrides})
  model.check_fields()
  if features_only:
    features = HorNetFeatures(model, out_indices)
    _ = features.stages  # an error now, not at the first call
    return features
  if out_indices is not None:
    raise InputError(
      f"`out_indices` must come with features_only: expected features_only=True, got {out_indices} "
      "without. Hint: a classifier returns every stage in its second value."
    )
  return model


def get_variant(name: str) -> Variant:
  """The entry of `VARIANTS`, also by alias; an `InputError` names the nearest for none."""
  name = ALIASES.get(name, name)
  if name not in VARIANTS:
    raise unknown_name("variant", name, [*VARIANTS, *ALIASES])
  return VARIANTS[name]


def list_models(pattern: str = "*") -> list[str]:
  """Names of the models that match a shell pattern, such as `"*_gf*"`, in the table's order.

  Aliases are not among them.
  """
  return [name for name in VARIANTS if fnmatch.fnmatch(name, pattern)]
