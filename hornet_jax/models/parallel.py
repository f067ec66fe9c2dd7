"""These functions tell the compiler where a model's arrays lie on a mesh of devices.

With the defaults of `Execution` they tell nothing, and a model needs no mesh.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jax.typing import DTypeLike
from jaxtyping import Array

from hornet_jax.models.api import Architecture
from hornet_jax.models.param_info import ParamInfo, ParamInfoOf, Role, map_params, path_name

_GATHERED = (Role.MATRIX, Role.STEM)


def constrain_batch(x: Array, batch_axes: Sequence[str]) -> Array:
  """Keeps the examples of `x` spread over mesh axes; its other axes stay whole.

  Without this the compiler gathers the activations of the whole batch where parameters are
  sharded.

  Args:
    x: activations [B, ...].
    batch_axes: names of mesh axes; none to leave the choice to the compiler.
  """
  if not batch_axes:
    return x
  return jax.lax.with_sharding_constraint(x, PartitionSpec(tuple(batch_axes)))


def gather_kernels(params: Any, dtype: DTypeLike, param_info: ParamInfoOf) -> Any:
  """Casts kernels to the type of the computation, then makes them whole on every device.

  In that order the devices send the smaller type. In the backward pass gradients are summed
  over the devices, and each keeps its part.

  Args:
    params: parameters of some modules; what is no kernel of a linear layer or a patch
      convolution stays as it is.
    dtype: type of the computation; the kernel of a classifier's head becomes float32 instead.
    param_info: function from the path of a parameter to what it is.
  """

  return map_params(lambda info, leaf: _whole(info, leaf, dtype), param_info, params)


def gather_outside(model: Architecture, params: Any) -> Any:
  """Gathers the kernels outside of stacked blocks, see `gather_kernels`; without `fsdp` none.

  Stacked blocks gather their own, one block at a time, see `Stage`.
  """
  if not model.execution.fsdp:
    return params
  inside = tuple(f"{path}/" for path in model.stacks())

  def gather(path: tuple[Any, ...], leaf: Array) -> Array:
    name = path_name(path)
    if name.startswith(inside):
      return leaf
    return _whole(model.param_info(name), leaf, model.execution.dtype)

  return jax.tree_util.tree_map_with_path(gather, params)


def _whole(info: ParamInfo, leaf: Array, dtype: DTypeLike) -> Array:
  if info.role not in _GATHERED:
    return leaf
  leaf = leaf.astype(jnp.float32 if info.head else dtype)
  return jax.lax.with_sharding_constraint(leaf, PartitionSpec())
