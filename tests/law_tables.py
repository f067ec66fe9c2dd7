"""Tables of made-up runs, and the command that fits a law to them."""

import csv
import json

import numpy as np
from law_data import FOLDER, PLANTED

from hornet_jax.cli.main import main
from hornet_jax.laws import get_law

QUICK = ("--starts=16", "--samples=50")
AT = ("--predict=params:1e8,images_seen:1e9",)
CHINCHILLA = (
  str(FOLDER / "chinchilla.csv"),
  "--size=Model Size",
  "--compute=Training FLOP",
  "--criterion=huber",
)
COLUMNS = (
  *("trial", "arm", "variant", "fields", "seed", "learning_rate", "params", "params_with_head"),
  *("macs", "flops", "images_seen", "unique_images", "loss", "error", "image_size", "started"),
  *("ended", "revision", "hardware", "run"),
)


def trial(name, size, data, loss, /, **changes):
  """A row of our own table; an example costs three forward passes of N^0.9 MACs."""
  macs = size**0.9
  row = dict.fromkeys(COLUMNS, "x")
  row |= {"trial": name, "run": name, "arm": "wide", "params": f"{size:.8g}", "macs": f"{macs:.8g}"}
  row |= {"images_seen": f"{data:.8g}", "flops": f"{6 * macs * data:.8g}", "loss": f"{loss:.8g}"}
  row |= {"error": f"{0.9 - np.exp(-loss):.8g}", "started": "2026-01-01T00:00:00+00:00"}
  return row | changes


def law_at(size, data):
  return float(
    get_law("chinchilla").predict(np.array([*PLANTED.values()]), np.array([[size], [data]]))[0]
  )


def write(path, rows):
  with path.open("w", newline="") as file:
    writer = csv.DictWriter(file, rows[0])
    writer.writeheader()
    writer.writerows(rows)
  return str(path)


def study():
  rng = np.random.default_rng(0)
  grid = [(size, data) for size in np.geomspace(1e6, 3e7, 6) for data in np.geomspace(1e7, 1e9, 5)]
  return [
    trial(f"t{i}", size, data, law_at(size, data) * np.exp(0.003 * rng.normal()))
    for i, (size, data) in enumerate(grid)
  ]


def fit_json(capfd, *arguments):
  assert main(["fit", *arguments, "--json"]) == 0
  return json.loads(capfd.readouterr().out)


def refused(capfd, *arguments):
  """The line by which a command is refused."""
  assert main(["fit", *arguments]) == 2
  printed = capfd.readouterr()
  assert printed.out == ""
  assert printed.err.startswith("hornet: error: ")
  assert printed.err.count("\n") == 1
  return printed.err
