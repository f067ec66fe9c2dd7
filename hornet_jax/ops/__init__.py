"""Numerics that the models call."""

from hornet_jax.ops.depthwise_conv import depthwise_conv

__all__ = ["depthwise_conv"]
