"""This module reads the versions of what the numbers depend on."""

import importlib.metadata
import platform

import hornet_jax

_PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


def versions() -> dict[str, str]:
  """Returns name -> version of this package, Python and the libraries that compute."""
  packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
  return {
    "hornet_jax": hornet_jax.__version__,
    "python": platform.python_version(),
    **packages,
  }
