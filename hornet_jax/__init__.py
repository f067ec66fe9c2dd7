"""This package is HorNet (recursive gated convolutions, arXiv 2207.14284) in JAX and Flax."""

import importlib
from typing import Any

from hornet_jax import convert
from hornet_jax.models import (
  Execution,
  GnConv,
  HorNet,
  create_model,
  list_models,
  register,
  reset_classifier,
)

__version__ = "0.1.0"
__all__ = [
  "Execution",
  "GnConv",
  "HorNet",
  "convert",
  "create_model",
  "list_models",
  "load",
  "preprocess",
  "register",
  "register_task",
  "reset_classifier",
  "save",
]

# Imported when first used: with them come Orbax and Pillow, which building a model can do
# without.
_LAZY = {
  "load": ("hornet_jax.pretrained.model_io", "load"),
  "preprocess": ("hornet_jax.data.views.preprocess", "preprocess"),
  "register_task": ("hornet_jax.tasks", "register"),
  "save": ("hornet_jax.pretrained.save", "save"),
}


def __getattr__(name: str) -> Any:
  if name in _LAZY:
    module, its_name = _LAZY[name]
    return getattr(importlib.import_module(module), its_name)
  raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
