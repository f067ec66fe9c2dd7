"""Chinchilla's law: a term of the model's size, a term of the data, and what no scale removes.

Likewise with the width and the depth of the model in place of its size.
"""

import numpy as np

from hornet_jax.laws.law import SeparableLaw

_LEAST, _MOST = 0.03, 1.5  # exponents to start from


class _PowerSum(SeparableLaw):
  """A floor, and a term for each axis, which falls with a power of it."""

  def basis(self, shapes: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Gives 1, and each axis to its exponent."""
    powers = np.exp(-shapes[..., None, :] * np.log(x).T)
    return np.concatenate([np.ones_like(powers[..., :1]), powers], axis=-1)

  def slopes(self, theta: np.ndarray, basis: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Differentiates by the exponents."""
    return -basis[..., 1:] * theta[..., None, 1 : len(self.coefficients)] * np.log(x).T

  def draw(self, rng: np.random.Generator, count: int, x: np.ndarray) -> np.ndarray:
    """Lays a grid over the exponents: with the coefficients projected out it is exhaustive."""
    powers = len(self.shapes)
    ticks = np.geomspace(_LEAST, _MOST, max(2, round(count ** (1 / powers))))
    return np.stack(np.meshgrid(*[ticks] * powers), axis=-1).reshape(-1, powers)


class Chinchilla(_PowerSum):
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


class WidthDepth(_PowerSum):
  """L = E + A / W^alpha + B / H^beta + C / D^gamma: width W, depth H and data D apart.

  Where the depths are few, E and the term of the depth are hard to tell from each other.

  Source: the law of Gemstones, arXiv 2502.06857.
  """

  name = "width_depth"
  formula = "L = E + A / W^alpha + B / H^beta + C / D^gamma"
  axes = ("width", "depth", "data")
  coefficients = ("E", "A", "B", "C")
  shapes = ("alpha", "beta", "gamma")
  positive_shapes = ("alpha", "beta", "gamma")
  exponents = ("alpha", "beta", "gamma")
  floor = "E"
