"""What a model tells the compiler where arrays lie on a mesh of devices.

Outside a mesh, and with the defaults of `HorNet`, nothing is told.
"""

from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import PartitionSpec
from jax.typing import DTypeLike
from jaxtyping import Array


def constrain_batch(x: Array, batch_axes: Sequence[str]) -> Array:
  """Keeps the rows of `x` spread over mesh axes; the other axes of it stay whole.

  Without it the compiler gathers the activations of the whole batch where parameters are
  sharded.

  Args:
    x: activations [B, ...].
    batch_axes: names of mesh axes; none to leave the choice to the compiler.
  """
  if not batch_axes:
    return x
  return jax.lax.with_sharding_constraint(x, PartitionSpec(tuple(batch_axes)))


def gather_kernels(params: Any, dtype: DTypeLike) -> Any:
  """Kernels cast to the type of the computation, then whole on every device.

  In that order the devices send the smaller type. The transpose scatters the gradients' sum.

  Args:
    params: of some modules; what is no kernel of a linear layer or a patch convolution
      stays as it is.
    dtype: of the computation.
  """

  def gather(path: tuple[Any, ...], leaf: Array) -> Array:
    names = [entry.key for entry in path]
    if names[-1] != "kernel" or names[-2] in ("dwconv", "dw"):
      return leaf
    return jax.lax.with_sharding_constraint(leaf.astype(dtype), PartitionSpec())

  return jax.tree_util.tree_map_with_path(gather, params)
