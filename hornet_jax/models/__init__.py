"""Architectures."""

from hornet_jax.models.classifier import reset_classifier
from hornet_jax.models.features import HorNetFeatures
from hornet_jax.models.gnconv import GnConv
from hornet_jax.models.hornet import HorNet
from hornet_jax.models.registry import ALIASES, VARIANTS, create_model, get_variant, list_models

__all__ = [
  "ALIASES",
  "VARIANTS",
  "GnConv",
  "HorNet",
  "HorNetFeatures",
  "create_model",
  "get_variant",
  "list_models",
  "reset_classifier",
]
