"""The best size of a model, and how much data it should see, for a budget of compute."""

from typing import NamedTuple

import numpy as np

from hornet_jax.errors import InputError
from hornet_jax.laws.accounting import Cost
from hornet_jax.laws.law import Law

_SIZES, _REFINEMENTS = 64, 12


class Optimum(NamedTuple):
  """An `Optimum` is the best split of each of m budgets, for each of B parameters.

  Attributes:
    size: sizes of the model, [B, m].
    data: examples to train on, [B, m].
    loss: losses that the law predicts for them, [B, m].
  """

  size: np.ndarray
  data: np.ndarray
  loss: np.ndarray


def best_split(
  law: Law, theta: np.ndarray, cost: Cost, budgets: np.ndarray, sizes: tuple[float, float]
) -> Optimum:
  """Finds the size of the smallest loss for budgets of compute, numerically.

  Sizes are tried over a range, then ever closer around the best one. Where more and more (or less
  and less) of the size is better, the end of the range is returned.

  Args:
    law: law of size and data.
    theta: parameters [B, p].
    cost: FLOPs of training on one example, by the size.
    budgets: FLOPs of whole trainings, [m].
    sizes: smallest and largest size to consider.

  Raises:
    InputError: if the law is not one of size and data.
  """
  if law.axes != ("size", "data"):
    raise InputError(f"the best size needs a law of size and data: got {law.name}, {law.formula}.")
  shape = (len(theta), len(budgets))
  low, high = (np.full(shape, np.log(size)) for size in sizes)
  for _ in range(_REFINEMENTS):
    logs = np.linspace(low, high, _SIZES, axis=-1)  # [B, m, s]
    best = _losses(law, theta, cost, budgets, logs).argmin(axis=-1)[..., None]
    low = np.take_along_axis(logs, np.maximum(best - 1, 0), axis=-1)[..., 0]
    high = np.take_along_axis(logs, np.minimum(best + 1, _SIZES - 1), axis=-1)[..., 0]
  found = (low + high) / 2
  size = np.exp(found)
  return Optimum(
    size, budgets / cost(size), _losses(law, theta, cost, budgets, found[..., None])[..., 0]
  )


def _losses(
  law: Law, theta: np.ndarray, cost: Cost, budgets: np.ndarray, logs: np.ndarray
) -> np.ndarray:
  """Predicts losses [B, m, s] of models by the logarithms of their sizes, [B, m, s]."""
  sizes = np.exp(logs)
  data = budgets[:, None] / cost(sizes)
  flat = [
    law.predict(one, np.stack([size.ravel(), seen.ravel()]))
    for one, size, seen in zip(theta, sizes, data, strict=True)
  ]
  return np.stack(flat).reshape(logs.shape)
