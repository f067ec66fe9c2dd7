"""This package turns published checkpoints into models of this package."""

from hornet_jax.convert.official import params_from_official

__all__ = ["params_from_official"]
