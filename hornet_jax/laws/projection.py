"""Variable projection: for given shapes the coefficients of a law are a linear problem."""

import itertools

import numpy as np


def project(
  basis: np.ndarray, losses: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
  """Finds the non-negative coefficients with the least sum of squares, for many shapes at once.

  With a handful of coefficients every choice of those that are zero is tried, which is exact.

  Source: the projection is that of arXiv 2603.22339; non-negative least squares by enumeration.

  Args:
    basis: terms of a law, for each of B shapes, [B, n, c].
    losses: losses [n].
    weights: weight of each point, [n]; None for ones.

  Returns:
    Coefficients [B, c] and the sums of squares that they leave, [B].
  """
  batch, _, count = basis.shape
  root = np.ones_like(losses) if weights is None else np.sqrt(weights)
  # Columns of one length: else the products of a term of 1e-9 are lost beside those of a constant.
  basis, target = basis * root[:, None], losses * root
  lengths = np.sqrt(np.einsum("bnc,bnc->bc", basis, basis))
  lengths = np.where(lengths > 0, lengths, 1.0)
  basis = basis / lengths[:, None]
  products = np.matmul(basis.transpose(0, 2, 1), basis)
  projected = np.einsum("bnc,n->bc", basis, target)
  best = np.zeros((batch, count))
  least = np.full(batch, target @ target)
  for size in range(1, count + 1):
    for chosen in itertools.combinations(range(count), size):
      ridge = 1e-14 * np.eye(size)  # two equal terms are no error
      matrix = products[:, chosen][:, :, chosen] + ridge
      found = np.linalg.solve(matrix, projected[:, chosen, None])[..., 0]
      rest = target - np.einsum("bnc,bc->bn", basis[:, :, chosen], found)
      squares = np.einsum("bn,bn->b", rest, rest)
      better = (found >= 0).all(axis=1) & (squares < least)
      least = np.where(better, squares, least)
      whole = np.zeros((batch, count))
      whole[:, chosen] = found
      best = np.where(better[:, None], whole, best)
  return best / lengths, least
