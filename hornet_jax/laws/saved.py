"""A saved fit says which size is best for budgets to come, so that new points lie around it."""

import json
import os
from collections.abc import Callable

import numpy as np
from etils import epath

from hornet_jax.errors import InputError, StorageError
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
  expected = f"{os.fspath(path)} must be what `fit --json` prints of a law of size and data: "
  try:
    content = json.loads(read_file(epath.Path(path)))
  except StorageError:
    raise
  except (OSError, ValueError) as error:
    raise InputError(f"{expected}it cannot be read: {error}.") from error
  fields = content if isinstance(content, dict) else {}
  if missing := sorted({"law", "parameters", "cost", "sizes"} - set(fields)):
    of = f" of the law {fields['law']}" if "law" in fields else ""
    raise InputError(f"{expected}got{of} no {missing[0]}. Hint: --law=chinchilla.")
  law = get_law(fields["law"])
  theta = np.array([[fields["parameters"][name] for name in law.parameters]], np.float64)
  cost, sizes = PowerLine(**fields["cost"]), considered_sizes(*fields["sizes"])

  def best_size(budget: float) -> float:
    if not budget > 0:
      raise InputError(f"`budget` must be a positive number of FLOPs: got {budget}.")
    return float(best_split(law, theta, cost, np.array([budget]), sizes).size[0, 0])

  return best_size
