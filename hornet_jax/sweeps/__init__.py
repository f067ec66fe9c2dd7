"""Sweeps train many sizes of models on many amounts of data, by any number of workers."""

from hornet_jax.sweeps.isoflop import isoflop
from hornet_jax.sweeps.points import grid, random_points, star
from hornet_jax.sweeps.size_rules import ByDepth, ByImageSize, ByWidth
from hornet_jax.sweeps.sweep import Sweep, load_sweep

__all__ = [
  "ByDepth",
  "ByImageSize",
  "ByWidth",
  "Sweep",
  "grid",
  "isoflop",
  "load_sweep",
  "random_points",
  "star",
]
