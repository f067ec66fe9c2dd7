"""What a fit makes small: squares or Huber's loss, of losses or of their logarithms."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from hornet_jax.errors import InputError, unknown_name

HUBER_DELTA = 1e-3


@dataclasses.dataclass(frozen=True)
class Criterion:
  """A `Criterion` is summed over the points, never averaged: an average of 1e-6 looks converged.

  Attributes:
    log: whether residuals are differences of logarithms.
    delta: residual up to which Huber's loss is quadratic; None for squares throughout.
    offset: number added to losses before their logarithms are taken; published fits of broken laws
      add 1.
  """

  log: bool
  delta: float | None = None
  offset: float = 0.0

  def __post_init__(self) -> None:
    if self.delta is not None and not 0 < self.delta < np.inf:
      raise InputError(f"`delta` must be a positive number: got {self.delta}.")

  def residuals(self, predicted: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """Gives predicted minus measured, as logarithms or plainly."""
    if self.log:
      return np.log(predicted + self.offset) - np.log(losses + self.offset)
    return predicted - losses

  def by_residual(self, slopes: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Turns derivatives of predicted losses, [..., n, p], into those of residuals."""
    return slopes / (predicted + self.offset)[..., None] if self.log else slopes

  def objective(self, residuals: np.ndarray, weights: np.ndarray | float = 1.0) -> np.ndarray:
    """Sums up over the last axis: squares, or Huber's loss, which has half of them near zero."""
    if self.delta is None:
      return np.asarray((weights * residuals**2).sum(axis=-1))
    size = np.abs(residuals)
    bent = self.delta * (size - self.delta / 2)
    losses = np.where(size < self.delta, residuals**2 / 2, bent)
    return np.asarray((weights * losses).sum(axis=-1))

  def slope(self, residuals: np.ndarray) -> np.ndarray:
    """Differentiates the loss of a point by its residual."""
    if self.delta is None:
      return 2 * residuals
    return np.clip(residuals, -self.delta, self.delta)

  def curvature(self, residuals: np.ndarray) -> np.ndarray:
    """Gives a curvature for Newton's steps.

    That of Huber's loss is zero beyond delta; a hundredth of the curvature of its quadratic
    majoriser keeps steps finite where few points are within.
    """
    if self.delta is None:
      return np.full_like(residuals, 2.0)
    size = np.abs(residuals)
    return np.where(size < self.delta, 1.0, 0.01 * self.delta / np.maximum(size, self.delta))


SQUARES = Criterion(log=False)
LOG_SQUARES = Criterion(log=True)
HUBER = Criterion(log=True, delta=HUBER_DELTA)
_LOG1P_SQUARES = Criterion(log=True, offset=1.0)
CRITERIA = ("squares", "log_squares", "log1p_squares", "huber")


def make_criterion(name: str | None, axes: Sequence[str], delta: float = HUBER_DELTA) -> Criterion:
  """Gives the criterion of a name, or that of laws with some axes.

  Args:
    name: one of `CRITERIA`; None for squares where a law has several axes, else log squares.
    axes: roles of the columns that the law reads.
    delta: residual up to which Huber's loss is quadratic.

  Raises:
    InputError: if there is none of that name.
  """
  if name is None:
    return SQUARES if len(axes) > 1 else LOG_SQUARES
  if name not in CRITERIA:
    raise unknown_name("criterion", name, CRITERIA)
  huber = Criterion(log=True, delta=delta)
  return dict(zip(CRITERIA, (SQUARES, LOG_SQUARES, _LOG1P_SQUARES, huber), strict=True))[name]
