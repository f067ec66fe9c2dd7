"""The error rate that a loss stands for: it falls with the loss towards an end of its own."""

import numpy as np

from hornet_jax.laws.criterion import SQUARES
from hornet_jax.laws.fitting import Fit, fit
from hornet_jax.laws.law import SeparableLaw
from hornet_jax.laws.points import Points

_LEAST, _MOST = 0.05, 10.0  # decay to start from, over the range of the losses


class ErrorRate(SeparableLaw):
  """error = 1 - accuracy = e - k exp(-g L), where the scale is the loss L.

  Source: arXiv 2403.08540, section 3.3.
  """

  name = "error rate"
  formula = "error = e - k exp(-g L)"
  axes = ("scale",)
  coefficients = ("e", "k")
  shapes = ("g",)
  positive_shapes = ("g",)
  exponents = ("g",)

  def basis(self, shapes: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Gives 1 and -exp(-g L)."""
    decay = np.exp(-shapes[..., None, :] * x.T)
    return np.concatenate([np.ones_like(decay), -decay], axis=-1)

  def slopes(self, theta: np.ndarray, basis: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Differentiates by g."""
    return -theta[..., None, 1:2] * basis[..., 1:] * x.T

  def draw(self, rng: np.random.Generator, count: int, x: np.ndarray) -> np.ndarray:
    """Lays a grid over g."""
    spread = x.max() - x.min()
    return np.geomspace(_LEAST, _MOST, count)[:, None] / spread


def fit_error_rate(points: Points) -> Fit:
  """Fits the error rates of points to their losses, by least squares.

  Args:
    points: points with losses and the role `"error"`.

  Raises:
    InputError: if there are fewer than three points, or all have one loss.
  """
  values = {"scale": points.losses, "loss": points.values["error"]}
  names = {"scale": points.names["loss"], "loss": points.names["error"]}
  return fit(ErrorRate(), Points(values, names, points.runs), SQUARES)
