"""Which arrays of the state are cut into parts, one a device of the axis `fsdp`.

`jax.jit` with `NamedSharding`s is what `pjit` became. By default the mesh has one device on
that axis, and every device has the whole state.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hornet_jax.models.stacking import STACKED
from hornet_jax.train.mesh import FSDP

# Path -> the axis that is cut; the first that matches counts, what none matches stays whole.
# Cutting the axis that is summed over lets gradients be scattered while they are summed, which
# sends less than cutting the outputs. Small arrays, depthwise kernels, spectral filters and the
# stem stay whole: cut, their gradients would cost more messages than they save memory.
RULES = [
  (re.compile(r"(^|/)(proj_in|proj_out|pws_\d+|fc1|fc2|head)/kernel$"), -2),
  (re.compile(r"(^|/)downsample_\d+/conv/kernel$"), -2),
]
MIN_SIZE = 65_536
"""Elements of the smallest array that is cut; of one block, where blocks are stacked."""


def partition_spec(path: str, shape: tuple[int, ...], fsdp: int) -> PartitionSpec:
  """How an array of the state lies on the mesh.

  Args:
    path: such as `stage_0/blocks/mlp/fc1/kernel`; of moments and averages it ends so.
    shape: of the whole array.
    fsdp: devices of that axis.
  """
  of_block = shape[1:] if f"/{STACKED}/" in path else shape
  for pattern, axis in RULES:
    if pattern.search(path):
      if fsdp > 1 and math.prod(of_block) >= MIN_SIZE and shape[axis] % fsdp == 0:
        spec: list[str | None] = [None] * len(shape)
        spec[axis] = FSDP
        return PartitionSpec(*spec)
      break
  return PartitionSpec()


def with_shardings(tree: Any, mesh: Mesh) -> Any:
  """An abstract state or a part of it, with the sharding of each array."""

  def place(path: tuple[Any, ...], leaf: Any) -> jax.ShapeDtypeStruct:
    spec = partition_spec(path_name(path), leaf.shape, mesh.shape[FSDP])
    sharding = NamedSharding(mesh, spec)
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

  return jax.tree_util.tree_map_with_path(place, tree)


def path_name(path: tuple[Any, ...]) -> str:
  """A path of JAX's as text, with slashes."""
  return jax.tree_util.keystr(path, simple=True, separator="/")


@dataclasses.dataclass(frozen=True)
class Placement:
  """Of one parameter.

  Attributes:
    path: its name.
    shape: of the whole.
    spec: over the mesh.
    bytes_a_device: what each device keeps of it.
  """

  path: str
  shape: tuple[int, ...]
  spec: PartitionSpec
  bytes_a_device: int


def placements(params: Mapping[str, Any], fsdp: int) -> list[Placement]:
  """Where every parameter lies, in the order of the tree.

  Args:
    params: arrays, or what describes them.
    fsdp: devices of that axis.
  """
  rows = []
  for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
    name = path_name(path)
    spec = partition_spec(name, leaf.shape, fsdp)
    parts = fsdp if FSDP in spec else 1
    size = math.prod(leaf.shape) * leaf.dtype.itemsize // parts
    rows.append(Placement(name, leaf.shape, spec, size))
  return rows
