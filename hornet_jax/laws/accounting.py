"""What training costs: the compute of a run by the size of the model and by its data."""

from collections.abc import Callable, Sequence

import numpy as np

from hornet_jax.errors import InputError
from hornet_jax.laws.isoflop import PowerLine, fit_power_line
from hornet_jax.laws.points import Points

Cost = Callable[[np.ndarray], np.ndarray]
"""FLOPs of training on one example (token, image), by the size of the model."""


def six_n_d(size: np.ndarray) -> np.ndarray:
  """Counts 6 N FLOPs a token: the cost C = 6 N D of language models."""
  return 6 * size


def power_cost(points: Points) -> tuple[PowerLine, float]:
  """Makes a cost of the runs themselves: a power of the size, through compute over data of each.

  Where compute was counted as 6 N D, or as three forward passes, it gives just that back.

  Args:
    points: points with the roles size, data and compute.

  Returns:
    The cost, and the largest factor by which it is off at one of the runs.

  Raises:
    InputError: if there is only one size.
  """
  size = points.values["size"]
  each = points.values["compute"] / points.values["data"]
  line = fit_power_line(size, each)
  return line, float(np.exp(np.abs(np.log(line(size) / each)).max()))


def complete(points: Points, needed: Sequence[str]) -> Points:
  """Adds what follows from what is there: compute from size and data, or data from compute.

  It counts C = 6 N D. A scale that is not named is the compute, or else the data.

  Args:
    points: points as they were read.
    needed: roles that a law reads.

  Raises:
    InputError: if a role is needed and does not follow.
  """
  values, names = dict(points.values), dict(points.names)
  if "size" in values and "data" in values and "compute" not in values:
    values["compute"] = six_n_d(values["size"]) * values["data"]
    names["compute"] = f"6 {names['size']} {names['data']}"
  if "size" in values and "compute" in values and "data" not in values:
    values["data"] = values["compute"] / six_n_d(values["size"])
    names["data"] = f"{names['compute']} / (6 {names['size']})"
  for role in ("compute", "data"):
    if "scale" not in values and role in values:
      values["scale"], names["scale"] = values[role], names[role]
  missing = [role for role in needed if role not in values]
  if missing:
    raise InputError(
      f"the law needs the {missing[0]} of every run: got {', '.join(sorted(values))}. Hint: name "
      f"its column by --{missing[0]}=COLUMN."
    )
  return Points(values, names, points.runs)
