"""This module cuts some arrays of the state into parts, one a device of the axis `fsdp`.

`jax.jit` with `NamedSharding`s is what `pjit` became. By default the mesh has one device on
that axis, and every device has the whole state.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hornet_jax.models.param_info import ParamInfo, ParamInfoOf, Role, map_block_params, path_name
from hornet_jax.parallel.mesh import FSDP

CUT = (Role.MATRIX,)
"""Roles of the parameters that are cut, over the axis that their product sums over: gradients are
then scattered while they are summed, which sends less than cutting the outputs. Depthwise kernels,
spectral filters, the stem and small arrays stay whole: cut, their gradients would cost more
messages than they save memory."""
MIN_SIZE = 65_536
"""Elements of the smallest array that is cut; of one block, where blocks are stacked."""


def partition_spec(
  info: ParamInfo, shape: tuple[int, ...], fsdp: int, num_blocks: int = 1
) -> PartitionSpec:
  """Tells how a parameter lies on the mesh.

  Args:
    info: description of the parameter.
    shape: shape of the whole array.
    fsdp: number of devices of that axis.
    num_blocks: number of blocks whose parameters are stacked in it.
  """
  axis = info.fan_in_axis
  if info.role not in CUT or axis is None or fsdp == 1:
    return PartitionSpec()
  if math.prod(shape) // num_blocks < MIN_SIZE or shape[axis] % fsdp:
    return PartitionSpec()
  spec: list[str | None] = [None] * len(shape)
  spec[axis] = FSDP
  return PartitionSpec(*spec)


def param_specs(param_info: ParamInfoOf, params: Any, fsdp: int) -> dict[str, PartitionSpec]:
  """Tells how every parameter lies on the mesh, by its path.

  Args:
    param_info: function of the architecture that describes a parameter by its path.
    params: arrays, or their shapes and types; blocks apart or stacked.
    fsdp: number of devices of that axis.
  """

  def spec(infos: list[ParamInfo], leaf: Any) -> PartitionSpec:
    return partition_spec(infos[0], leaf.shape, fsdp, len(infos))

  specs = map_block_params(spec, param_info, params)
  leaves = jax.tree_util.tree_leaves_with_path(
    specs, is_leaf=lambda node: isinstance(node, PartitionSpec)
  )
  return {path_name(path): spec for path, spec in leaves}


def with_shardings(tree: Any, param_info: ParamInfoOf, params: Any, mesh: Mesh) -> Any:
  """Gives each array of an abstract state its sharding.

  Args:
    tree: abstract state. What ends in the path of a parameter, as moments and averages do, lies
      as the parameter does; all else is whole on every device.
    param_info: function of the architecture that describes a parameter by its path.
    params: abstract parameters, as they are in the state.
    mesh: devices to lie on.
  """
  specs = param_specs(param_info, params, mesh.shape[FSDP])

  def place(path: tuple[Any, ...], leaf: Any) -> jax.ShapeDtypeStruct:
    names = path_name(path).split("/")
    ends = ("/".join(names[i:]) for i in range(len(names)))
    spec = next((specs[end] for end in ends if end in specs), PartitionSpec())
    sharding = NamedSharding(mesh, spec)
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

  return jax.tree_util.tree_map_with_path(place, tree)


@dataclasses.dataclass(frozen=True)
class Placement:
  """A `Placement` says where one parameter lies.

  Attributes:
    path: path of the parameter.
    shape: shape of the whole parameter.
    spec: axes of the mesh that it is cut over.
    bytes_a_device: bytes that each device keeps of it.
  """

  path: str
  shape: tuple[int, ...]
  spec: PartitionSpec
  bytes_a_device: int


def placements(param_info: ParamInfoOf, params: Mapping[str, Any], fsdp: int) -> list[Placement]:
  """Tells where every parameter lies, in the order of the tree.

  Args:
    param_info: function of the architecture that describes a parameter by its path.
    params: arrays, or their shapes and types.
    fsdp: number of devices of that axis.
  """
  specs = param_specs(param_info, params, fsdp)
  rows = []
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    name = path_name(path)
    parts = fsdp if FSDP in specs[name] else 1
    size = math.prod(leaf.shape) * leaf.dtype.itemsize // parts
    rows.append(Placement(name, leaf.shape, specs[name], size))
  return rows
