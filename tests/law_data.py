"""Tables of published runs, and runs that a planted law made."""

import csv
import pathlib

import numpy as np

from hornet_jax.laws import get_law, make_points
from hornet_jax.laws.accounting import complete

FOLDER = pathlib.Path(__file__).parent / "golden" / "laws"
PLANTED = {"E": 0.9, "A": 315.5, "B": 100.5, "alpha": 0.4, "beta": 0.3}


def rows(name, **conditions):
  with (FOLDER / f"{name}.csv").open() as file:
    return [
      row
      for row in csv.DictReader(file)
      if all(row[key] == text for key, text in conditions.items())
    ]


def column(table, name):
  return np.array([float(row[name]) for row in table])


def chinchilla(count=240):
  """The runs of the lowest losses, as the published replication takes them."""
  table = rows("chinchilla")
  points = complete(
    make_points(
      size=column(table, "Model Size"),
      compute=column(table, "Training FLOP"),
      loss=column(table, "loss"),
    ),
    ("size", "data"),
  )
  return points.take(np.sort(np.argsort(-points.losses)[len(points) - count :]))


def planted(rng, sizes=7, amounts=6, noise=0.005):
  """Runs on a grid of sizes and amounts of data."""
  x = np.meshgrid(np.geomspace(1e6, 3e7, sizes), np.geomspace(1e7, 1e9, amounts))
  x = np.stack([axis.ravel() for axis in x])
  losses = get_law("chinchilla").predict(np.array([*PLANTED.values()]), x)
  losses = losses * np.exp(noise * rng.normal(size=losses.shape))
  return complete(make_points(size=x[0], data=x[1], loss=losses), ("size", "data"))
