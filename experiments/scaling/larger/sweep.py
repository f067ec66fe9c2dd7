"""The next width of each family, whose losses the fits of the smaller ones predict."""

import dataclasses
import pathlib

from hornet_jax.sweeps import Sweep, grid, load_sweep

WIDTHS = {"HorNet": 40, "ConvNeXt": 40, "DeiT": 80}


def get_sweep() -> Sweep:
  smaller = load_sweep(pathlib.Path(__file__).parent.parent)
  points = []
  for arm, width in WIDTHS.items():
    points += grid(arm=[arm], size=[width], unique_images=[8000], passes=[5], seed=[0])
  return dataclasses.replace(smaller, points=points)
