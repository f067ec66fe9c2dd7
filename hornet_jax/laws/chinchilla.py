"""Chinchilla's law: a term of the model's size, a term of the data, and what no scale removes."""

import numpy as np

from hornet_jax.laws.law import SeparableLaw

_LEAST, _MOST = 0.03, 1.5  # exponents to start from


class Chinchilla(SeparableLaw):
  """L = E + A / N^alpha + B / D^beta, where no parameter is negative: more never harms.

  Source: arXiv 2203.15556, section 3.3.
  """

  name = "chinchilla"
  formula = "L = E + A / N^alpha + B / D^beta"
  axes = ("size", "data")
  coefficients = ("E", "A", "B")
  shapes = ("alpha", "beta")
  positive_shapes = ("alpha", "beta")
  exponents = ("alpha", "beta")
  floor = "E"

  def basis(self, shapes: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Gives 1, N^-alpha and D^-beta."""
    powers = np.exp(-shapes[..., None, :] * np.log(x).T)
    return np.concatenate([np.ones_like(powers[..., :1]), powers], axis=-1)

  def slopes(self, theta: np.ndarray, basis: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Differentiates by alpha and beta."""
    return -basis[..., 1:] * theta[..., None, 1:3] * np.log(x).T

  def draw(self, rng: np.random.Generator, count: int, x: np.ndarray) -> np.ndarray:
    """Lays a grid over both exponents: with the coefficients projected out it is exhaustive."""
    ticks = np.geomspace(_LEAST, _MOST, max(2, round(count**0.5)))
    return np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
