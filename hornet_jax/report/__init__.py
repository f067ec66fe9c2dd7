"""The page that shows how a training run went."""

from hornet_jax.report.page import Report, render

__all__ = ["Report", "render"]
