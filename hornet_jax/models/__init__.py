"""Architectures."""

from hornet_jax.models.hornet import HorNet
from hornet_jax.models.registry import VARIANTS, create_model, get_variant, list_models

__all__ = ["VARIANTS", "HorNet", "create_model", "get_variant", "list_models"]
