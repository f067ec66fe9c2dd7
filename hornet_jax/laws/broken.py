"""Broken laws: powers that go over into others, smoothly, at one to three breaks."""

import numpy as np
from scipy.special import expit

from hornet_jax.laws.law import SeparableLaw, log_uniform

_AHEAD = 4.0  # factor beyond the largest point, up to which breaks are looked for


class BrokenPower(SeparableLaw):
  """y = a + b x^-c0 prod over i of (1 + (x / d_i)^(1 / f_i))^(-c_i f_i).

  At the break d_i the exponent -c0 grows by -c_i, over a width of f_i in the logarithm of x.

  Source: arXiv 2210.14891, equation 1.

  Args:
    breaks: number of breaks.
  """

  axes = ("scale",)
  floor = "a"

  def __init__(self, breaks: int = 1):
    numbers = range(1, breaks + 1)
    self.name = "bnsl" if breaks == 1 else f"bnsl{breaks}"
    self.formula = "y = a + b x^-c0 " + " ".join(
      f"(1 + (x / d{i})^(1 / f{i}))^(-c{i} f{i})" for i in numbers
    )
    self.coefficients = ("a", "b")
    self.shapes = ("c0", *(f"{letter}{i}" for i in numbers for letter in "cdf"))
    self.positive = (*self.coefficients, *(name for name in self.shapes if name[0] in "df"))
    self.parameters = (*self.coefficients, *self.shapes)
    self.exponents = ("c0", *(f"c{i}" for i in numbers))

  def basis(self, shapes: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Gives 1 and the product of powers."""
    log_x = np.log(x[0])
    c0 = shapes[..., :1]
    c, d, f = self._breaks(shapes)
    bends = np.logaddexp(0, (log_x[:, None] - np.log(d)) / f)
    power = np.exp(-c0 * log_x - (c * f * bends).sum(axis=-1))
    return np.stack([np.ones_like(power), power], axis=-1)

  def slopes(self, theta: np.ndarray, basis: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Differentiates by c0, and by c, d and f of each break."""
    log_x = np.log(x[0])
    c, d, f = self._breaks(theta[..., 2:])
    places = (log_x[:, None] - np.log(d)) / f
    bends, shares = np.logaddexp(0, places), expit(places)
    by_break = np.stack([-f * bends, c * shares / d, c * (shares * places - bends)], axis=-1)
    first = np.broadcast_to(-log_x[:, None], (*by_break.shape[:-2], 1))
    logs = np.concatenate([first, by_break.reshape(*by_break.shape[:-2], -1)], axis=-1)
    return theta[..., 1, None, None] * basis[..., 1:] * logs

  def draw(self, rng: np.random.Generator, count: int, x: np.ndarray) -> np.ndarray:
    """Draws exponents, breaks up to somewhat beyond the points, and widths from sharp to smooth."""
    breaks = len(self.shapes) // 3
    drawn = [log_uniform(rng, 0.01, 1.0, count)]
    places = log_uniform(rng, x.min(), _AHEAD * x.max(), count * breaks).reshape(count, breaks)
    for place in np.sort(places, axis=1).T:
      change = rng.choice([-1, 1], count, p=[0.3, 0.7]) * log_uniform(rng, 0.05, 10.0, count)
      drawn += [change, place, log_uniform(rng, 0.02, 2.0, count)]
    return np.stack(drawn, axis=1)

  @staticmethod
  def _breaks(shapes: np.ndarray) -> tuple[np.ndarray, ...]:
    """Gives c, d and f of the breaks, each [..., 1, breaks]."""
    return tuple(shapes[..., None, 1 + i :: 3] for i in range(3))
