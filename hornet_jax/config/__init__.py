"""What config files import: `base_config` with every key, and what reads their argument."""

import importlib
from typing import Any

# Imported when first used: a trained model is loaded without ml_collections.
_MODULES = {
  "ConfigDict": "ml_collections",
  "FIT": "hornet_jax.config.key",
  "FIT_TEXT": "hornet_jax.config.key",
  "base_config": "hornet_jax.config.base",
  "choose": "hornet_jax.config.arguments",
  "load_file": "hornet_jax.config.files",
  "model_name": "hornet_jax.config.arguments",
  "parse_arg": "hornet_jax.config.arguments",
  "patch_size": "hornet_jax.config.arguments",
  "shrink": "hornet_jax.config.runlocal",
}
__all__ = [
  "FIT",
  "FIT_TEXT",
  "ConfigDict",
  "base_config",
  "choose",
  "load_file",
  "model_name",
  "parse_arg",
  "patch_size",
  "shrink",
]


def __getattr__(name: str) -> Any:
  """Imports a public name."""
  if name in _MODULES:
    return getattr(importlib.import_module(_MODULES[name]), name)
  raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
