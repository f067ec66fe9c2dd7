"""Power laws of one scale: alone, above a floor, and saturating at one end or at both."""

import numpy as np

from hornet_jax.laws.law import SeparableLaw, log_uniform

_LEAST, _MOST = 0.03, 1.5  # exponents to start from


class Power(SeparableLaw):
  """y = b x^c, the law M1 of the benchmark.

  Source: arXiv 2209.06640, section 2, where the others of this family stand, too.
  """

  name = "power"
  formula = "y = b x^c"
  axes = ("scale",)
  coefficients = ("b",)
  shapes = ("c",)
  exponents = ("c",)

  def basis(self, shapes: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Gives x^c."""
    return np.exp(shapes[..., None, :] * np.log(x).T)

  def slopes(self, theta: np.ndarray, basis: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Differentiates by c."""
    return theta[..., None, :1] * basis * np.log(x).T

  def draw(self, rng: np.random.Generator, count: int, x: np.ndarray) -> np.ndarray:
    """Lays a grid over c."""
    return -np.geomspace(_LEAST, _MOST, count)[:, None]


class FlooredPower(SeparableLaw):
  """y = e_inf + b x^c, the law M2 of the benchmark."""

  name = "m2"
  formula = "y = e_inf + b x^c"
  axes = ("scale",)
  coefficients = ("e_inf", "b")
  shapes = ("c",)
  exponents = ("c",)
  floor = "e_inf"

  def basis(self, shapes: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Gives 1 and x^c."""
    power = np.exp(shapes[..., None, :] * np.log(x).T)
    return np.concatenate([np.ones_like(power), power], axis=-1)

  def slopes(self, theta: np.ndarray, basis: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Differentiates by c."""
    return theta[..., None, 1:2] * basis[..., 1:] * np.log(x).T

  def draw(self, rng: np.random.Generator, count: int, x: np.ndarray) -> np.ndarray:
    """Lays a grid over c."""
    return -np.geomspace(_LEAST, _MOST, count)[:, None]


class ShiftedPower(SeparableLaw):
  """y = b (1 / x + g)^-c, the law M3 of the benchmark; c is negative where more helps."""

  name = "m3"
  formula = "y = b (1 / x + g)^-c"
  axes = ("scale",)
  coefficients = ("b",)
  shapes = ("c", "g")
  positive_shapes = ("g",)
  exponents = ("c",)

  def basis(self, shapes: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Gives (1 / x + g)^-c."""
    return np.exp(-shapes[..., None, :1] * np.log(1 / x.T + shapes[..., None, 1:]))

  def slopes(self, theta: np.ndarray, basis: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Differentiates by c and g."""
    _, c, g = np.moveaxis(theta[..., None, None, :], -1, 0)
    value = theta[..., None, :1] * basis
    shifted = 1 / x.T + g
    return np.concatenate([-value * np.log(shifted), -c * value / shifted], axis=-1)

  def draw(self, rng: np.random.Generator, count: int, x: np.ndarray) -> np.ndarray:
    """Draws exponents, and shifts within the range of the points."""
    shifts = log_uniform(rng, 1 / x.max() / 30, 1 / x.min(), count)
    return np.stack([-log_uniform(rng, _LEAST, _MOST, count), shifts], axis=1)


class SaturatingPower(SeparableLaw):
  """y = E + A (x + d)^-alpha, which is finite at x = 0 and has a floor.

  Source: arXiv 2106.04560, section 2.2.
  """

  name = "saturating"
  formula = "y = E + A (x + d)^-alpha"
  axes = ("scale",)
  coefficients = ("E", "A")
  shapes = ("alpha", "d")
  positive_shapes = ("d",)
  exponents = ("alpha",)
  floor = "E"

  def basis(self, shapes: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Gives 1 and (x + d)^-alpha."""
    power = np.exp(-shapes[..., None, :1] * np.log(x.T + shapes[..., None, 1:]))
    return np.concatenate([np.ones_like(power), power], axis=-1)

  def slopes(self, theta: np.ndarray, basis: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Differentiates by alpha and d."""
    _, _, alpha, d = np.moveaxis(theta[..., None, None, :], -1, 0)
    value = theta[..., None, 1:2] * basis[..., 1:]
    return np.concatenate([-value * np.log(x.T + d), -alpha * value / (x.T + d)], axis=-1)

  def draw(self, rng: np.random.Generator, count: int, x: np.ndarray) -> np.ndarray:
    """Draws exponents, and shifts within the range of the points."""
    shifts = log_uniform(rng, x.min() / 100, x.max(), count)
    return np.stack([log_uniform(rng, _LEAST, _MOST, count), shifts], axis=1)
