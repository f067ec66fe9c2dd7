"""This room holds the architectures and the layers that they are made of."""

# Families register their models when they are imported, and are listed in this order.
# isort: off
import hornet_jax.models.hornet_variants
import hornet_jax.models.convnext
import hornet_jax.models.swin
import hornet_jax.models.vit
import hornet_jax.models.ablations  # noqa: F401

# isort: on
from hornet_jax.models.api import Architecture
from hornet_jax.models.classifier import reset_classifier
from hornet_jax.models.execution import Execution
from hornet_jax.models.features import FeatureMaps
from hornet_jax.models.gnconv import GnConv
from hornet_jax.models.headed import attach_head
from hornet_jax.models.hornet import HorNet
from hornet_jax.models.registry import (
  ALIASES,
  VARIANTS,
  create_model,
  get_variant,
  list_models,
  register,
)
from hornet_jax.models.stem import adapt_stem

__all__ = [
  "ALIASES",
  "VARIANTS",
  "Architecture",
  "Execution",
  "FeatureMaps",
  "GnConv",
  "HorNet",
  "adapt_stem",
  "attach_head",
  "create_model",
  "get_variant",
  "list_models",
  "register",
  "reset_classifier",
]
