"""HorNet (recursive gated convolutions, arXiv 2207.14284) in JAX and Flax."""

from hornet_jax import convert
from hornet_jax.models import HorNet, create_model, list_models

__version__ = "0.1.0"
__all__ = ["HorNet", "convert", "create_model", "list_models"]
