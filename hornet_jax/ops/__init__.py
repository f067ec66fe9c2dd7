"""This package holds the numerics that the models call, each with its derivatives."""

from hornet_jax.ops.depthwise_conv import depthwise_conv
from hornet_jax.ops.gelu import gelu
from hornet_jax.ops.layer_norm import layer_norm

__all__ = ["depthwise_conv", "gelu", "layer_norm"]
