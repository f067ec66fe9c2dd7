"""A scaling law is a formula for the loss, with its derivatives and with points to start from."""

import abc

import numpy as np

from hornet_jax.laws.projection import project

_FLOOR = 1e-9  # of the largest loss: a coefficient from which a search can still move


class Law(abc.ABC):
  """A `Law` predicts a loss from the scale of a run.

  Attributes:
    name: name by which the law is asked for.
    formula: equation, as text.
    axes: roles of the columns that it reads, `("size", "data")` or `("scale",)`.
    parameters: names of its parameters.
    positive: those that are never negative; a search goes along their logarithms.
    exponents: those that extrapolate: their valley is looked at.
    floor: name of the loss that is left at infinite scale; "" where there is none.
  """

  name: str
  formula: str
  axes: tuple[str, ...]
  parameters: tuple[str, ...]
  positive: tuple[str, ...] = ()
  exponents: tuple[str, ...] = ()
  floor: str = ""

  @abc.abstractmethod
  def value_and_slopes(self, theta: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predicts losses and differentiates them by the parameters.

    Args:
      theta: parameters [..., p].
      x: points, a row for each axis, [k, n].

    Returns:
      Losses [..., n] and derivatives [..., n, p].
    """

  @abc.abstractmethod
  def starts(
    self, rng: np.random.Generator, count: int, x: np.ndarray, losses: np.ndarray
  ) -> np.ndarray:
    """Makes about `count` parameters [count, p] to start from.

    Args:
      rng: source of random numbers.
      count: number of starts.
      x: points that will be fitted, [k, n].
      losses: losses there, [n].
    """

  def predict(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Predicts losses [..., n] by parameters [..., p] at points [k, n]."""
    return self.value_and_slopes(theta, x)[0]

  def is_positive(self) -> np.ndarray:
    """Tells which parameters are never negative, bool [p]."""
    return np.array([name in self.positive for name in self.parameters])


class SeparableLaw(Law):
  """A `SeparableLaw` is a sum of terms, each with a coefficient that is not negative.

  Its parameters are the coefficients, then the shapes of the terms (exponents, breaks). For given
  shapes the best coefficients are a linear problem, so that only shapes need starts.

  Attributes:
    coefficients: names of the coefficients.
    shapes: names of the shapes.
    positive_shapes: shapes that are never negative.
  """

  coefficients: tuple[str, ...]
  shapes: tuple[str, ...]
  positive_shapes: tuple[str, ...] = ()

  def __init_subclass__(cls) -> None:
    if "coefficients" in vars(cls):
      cls.parameters = (*cls.coefficients, *cls.shapes)
      cls.positive = (*cls.coefficients, *cls.positive_shapes)

  @abc.abstractmethod
  def basis(self, shapes: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Evaluates the terms without their coefficients.

    Args:
      shapes: shapes [..., q].
      x: points, a row for each axis, [k, n].

    Returns:
      Terms [..., n, c].
    """

  @abc.abstractmethod
  def slopes(self, theta: np.ndarray, basis: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Differentiates the loss by the shapes.

    Args:
      theta: parameters [..., p].
      basis: terms that `basis` gave for them, [..., n, c].
      x: points, a row for each axis, [k, n].

    Returns:
      Derivatives [..., n, q].
    """

  @abc.abstractmethod
  def draw(self, rng: np.random.Generator, count: int, x: np.ndarray) -> np.ndarray:
    """Draws about `count` shapes [count, q] to start from; see `starts`."""

  def split(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Splits parameters [..., p] into coefficients [..., c] and shapes [..., q]."""
    count = len(self.coefficients)
    return theta[..., :count], theta[..., count:]

  def value_and_slopes(self, theta: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predicts losses [..., n], with their derivatives by all parameters, [..., n, p]."""
    coefficients, shapes = self.split(theta)
    basis = self.basis(shapes, x)
    value = np.matmul(basis, coefficients[..., None])[..., 0]
    return value, np.concatenate([basis, self.slopes(theta, basis, x)], axis=-1)

  def starts(
    self, rng: np.random.Generator, count: int, x: np.ndarray, losses: np.ndarray
  ) -> np.ndarray:
    """Draws shapes and gives each its best coefficients: parameters [count, p]."""
    shapes = self.draw(rng, count, x)
    coefficients, _ = project(self.basis(shapes, x), losses)
    return np.concatenate([np.maximum(coefficients, _FLOOR * losses.max()), shapes], axis=1)


def log_uniform(rng: np.random.Generator, low: float, high: float, count: int) -> np.ndarray:
  """Draws numbers [count] whose logarithms are uniform between those of two bounds."""
  return np.exp(rng.uniform(np.log(low), np.log(high), count))
