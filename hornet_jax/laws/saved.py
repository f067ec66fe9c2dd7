"""A saved fit says which size is best for budgets to come, so that new points lie around it."""

import json
import os
from collections.abc import Callable

import numpy as np
from etils import epath

from hornet_jax.errors import InputError
from hornet_jax.files import read_file
from hornet_jax.laws.analysis import considered_sizes
from hornet_jax.laws.catalogue import get_law
from hornet_jax.laws.isoflop import PowerLine
from hornet_jax.laws.optimum import best_split


def read_best_size(path: str | os.PathLike[str]) -> Callable[[float], float]:
  """Reads what `fit --json` printed of a law of size and data.

  Args:
    path: file that holds it.

  Returns:
    Function from the FLOPs of a whole training to the size that is best for it, such as
    `hornet_jax.sweeps.isoflop` takes.

  Raises:
    InputError: if the file holds no such fit.
  """
  try:
    content = json.loads(read_file(epath.Path(path)))
    law = get_law(content["law"])
    theta = np.array([[content["parameters"][name] for name in law.parameters]], np.float64)
    cost = PowerLine(**content["cost"])
    sizes = considered_sizes(*content["sizes"])
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise InputError(
      f"{os.fspath(path)} must be what `fit --json` prints of a law of size and data, such as "
      f"chinchilla: got {type(error).__name__} in reading it."
    ) from error

  def best_size(budget: float) -> float:
    return float(best_split(law, theta, cost, np.array([budget]), sizes).size[0, 0])

  return best_size
