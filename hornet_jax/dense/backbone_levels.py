"""The feature maps of a backbone on which heads for dense prediction stand."""

from typing import Any

from hornet_jax.errors import InputError
from hornet_jax.models.api import FeatureInfo
from hornet_jax.models.features import FeatureMaps


def backbone_levels(backbone: Any, purpose: str) -> tuple[FeatureInfo, ...]:
  """Lists the feature maps of an architecture, and refuses what no head can stand on.

  Args:
    backbone: what a head is put on.
    purpose: what it is put there for, such as `"detection"`.

  Raises:
    InputError: if it is no whole architecture, or has one level alone.
  """
  if isinstance(backbone, FeatureMaps):
    raise InputError(
      f"{purpose} needs an architecture as it was created: expected such as create_model(NAME), "
      "got its feature maps. Hint: leave out features_only=True."
    )
  features = backbone.features()
  if len(features) < 2:
    raise InputError(
      f"{purpose} needs a backbone of several levels: expected feature maps on ever coarser "
      f"grids, got {', '.join(feature.name for feature in features)} alone. Hint: isotropic "
      "models and vision transformers have one level; `hornet info NAME` shows those of a model."
    )
  return features
