"""This package makes the page that shows how a training run went."""

import os

from hornet_jax.paths import cache_folder, has_home

# Before matplotlib is imported: it complains at length where it has no home to write to.
if not has_home():
  os.environ.setdefault("MPLCONFIGDIR", os.fspath(cache_folder() / "matplotlib"))

from hornet_jax.report.page import Report, render

__all__ = ["Report", "render"]
