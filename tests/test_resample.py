"""Grids change as PyTorch's do: values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_data import GOLDEN, assert_close

from hornet_jax.ops.resample import average_bins, resize_bilinear

ARRAYS = dict(np.load(GOLDEN / "dense.npz"))
CASES = sorted({name.rpartition("/")[0] for name in ARRAYS if not name.startswith("poly")})


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(case):
  kind, _, how = case.split("/")
  size = tuple(map(int, how.split("x")))

  def apply(x):
    return resize_bilinear(x, size) if kind == "resize" else average_bins(x, *size)

  x = jnp.asarray(ARRAYS[f"{case}/x"])
  gradient, y = jax.grad(lambda x: (jnp.mean(apply(x) ** 2), apply(x)), has_aux=True)(x)
  assert_close(y, ARRAYS[f"{case}/y"], 1e-6)
  assert_close(gradient, ARRAYS[f"{case}/gradient"], 1e-6)


def test_what_is_enlarged_by_a_whole_factor_needs_no_product():
  x = jnp.zeros((1, 5, 3, 2))
  for size, products in (((20, 9), 0), ((21, 9), 1), ((21, 10), 2)):
    text = str(jax.make_jaxpr(lambda x, size=size: resize_bilinear(x, size))(x))
    assert text.count("dot_general") == products
