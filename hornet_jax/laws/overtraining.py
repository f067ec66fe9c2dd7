"""The law of over-training: one exponent for the model's size and for the data."""

import numpy as np

from hornet_jax.laws.law import SeparableLaw

_LEAST, _MOST = 0.03, 1.5  # -b to start from


class Overtraining(SeparableLaw):
  """L = E + alpha N^b + beta 6^(b/2) D^b, with b < 0.

  With one exponent the best size grows as the square root of the compute C = 6 N D, and at a fixed
  ratio M = D / N the loss above E is a power of C whose exponent b / 2 is the same for every M.

  Source: arXiv 2403.08540, section 3.2, where D = M N.
  """

  name = "overtraining"
  formula = "L = E + alpha N^b + beta 6^(b/2) D^b"
  axes = ("size", "data")
  coefficients = ("E", "alpha", "beta")
  shapes = ("b",)
  exponents = ("b",)
  floor = "E"

  def basis(self, shapes: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Gives 1, N^b and 6^(b/2) D^b."""
    powers = np.exp(shapes[..., None, :] * _logarithms(x))
    return np.concatenate([np.ones_like(powers[..., :1]), powers], axis=-1)

  def slopes(self, theta: np.ndarray, basis: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Differentiates by b."""
    terms = basis[..., 1:] * theta[..., None, 1:3] * _logarithms(x)
    return terms.sum(axis=-1, keepdims=True)

  def draw(self, rng: np.random.Generator, count: int, x: np.ndarray) -> np.ndarray:
    """Lays a grid over b."""
    return -np.geomspace(_LEAST, _MOST, count)[:, None]


def _logarithms(x: np.ndarray) -> np.ndarray:
  return np.stack([np.log(x[0]), np.log(6) / 2 + np.log(x[1])], axis=-1)
