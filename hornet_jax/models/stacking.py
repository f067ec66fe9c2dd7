"""The parameters of a stage's equal blocks lie apart or are stacked.

A model is made with its blocks apart, `stage_0/block_1/mlp/fc1/kernel`, as files hold them. Where
a loop goes over them (`Execution.scan`), training has one array for all blocks of a stage,
`stage_0/blocks/mlp/fc1/kernel` with a leading axis: the loop then copies nothing, and an optimiser
compiles one update for 18 blocks. Without the loop they stay apart: there it is stacking that
would copy.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from hornet_jax.errors import InputError

STACKED = "blocks"
"""The name of what is stacked, in the place of `block_0`, `block_1`, ..."""
_FIRST = "block_0"


def stack_blocks(tree: Any) -> Any:
  """Stacks the blocks of every stage in a tree.

  Args:
    tree: parameters with blocks apart, or a state that holds such trees; of numpy, JAX or
      abstract arrays. Abstract ones keep their sharding; the new axis is not sharded.
  """

  def stack(*leaves: Any) -> Any:
    first = leaves[0]
    if isinstance(first, jax.ShapeDtypeStruct):
      shape = (len(leaves), *first.shape)
      return _abstract(shape, first, lambda spec: (None, *spec) if spec else ())
    return np.stack(leaves) if isinstance(first, np.ndarray) else jnp.stack(leaves)

  def stack_stage(blocks: Mapping[str, Any]) -> dict[str, Any]:
    names = [f"block_{i}" for i in range(len(blocks))]
    if set(names) != set(blocks):
      raise InputError(
        "`block_0` must be the first of equal blocks in a module of their own, a `Stage`: expected "
        f"{names[0]}, block_1, ... and nothing beside them, got {', '.join(sorted(blocks))}. Hint: "
        "give blocks that no loop runs over another name, such as layer_0."
      )
    in_order = [blocks[name] for name in names]
    return {STACKED: jax.tree.map(stack, *in_order)}

  return _map_stages(stack_stage, _FIRST, tree)


def unstack_blocks(tree: Any) -> Any:
  """Takes the blocks of every stage in a tree apart: undoes `stack_blocks`.

  Args:
    tree: result of `stack_blocks`, or a tree like it.
  """

  def unstack_stage(stage: Mapping[str, Any]) -> dict[str, Any]:
    leaves, structure = jax.tree.flatten(stage[STACKED])
    blocks = zip(*map(_split, leaves), strict=True)
    return {f"block_{i}": jax.tree.unflatten(structure, block) for i, block in enumerate(blocks)}

  return _map_stages(unstack_stage, STACKED, tree)


def stage_stack(stage: Mapping[str, Any], depth: int) -> Any:
  """Gives the stacked blocks of one stage, whose parameters come apart or stacked.

  Raises:
    InputError: if they are not those of `depth` blocks.
  """
  names = [f"block_{i}" for i in range(depth)]
  if STACKED not in stage and set(stage) != set(names):
    raise _other_blocks(depth, ", ".join(sorted(stage)) or "none")
  stacked = stack_blocks(stage)[STACKED]
  found = {leaf.shape[0] for leaf in jax.tree.leaves(stacked)}
  if found != {depth}:
    raise _other_blocks(depth, f"{STACKED!r} of {', '.join(map(str, sorted(found))) or 'nothing'}")
  return stacked


def check_apart(stage: Mapping[str, Any], depth: int) -> None:
  """Raises `InputError` if the blocks of a stage are stacked."""
  if STACKED in stage:
    raise InputError(
      f"the blocks of a stage must lie apart without `scan`: expected block_0 to "
      f"block_{depth - 1}, got {STACKED!r}. Hint: hornet_jax.models.stacking.unstack_blocks, or "
      "scan=True."
    )


def _other_blocks(depth: int, found: str) -> InputError:
  return InputError(
    f"the parameters of a stage must be those of its blocks: expected {STACKED!r} of {depth}, or "
    f"block_0 to block_{depth - 1}, got {found}. Hint: they belong to another model."
  )


def is_stacked(path: Sequence[Any]) -> bool:
  """Tells whether the leaf at this path of a JAX tree has a leading axis of blocks."""
  return any(getattr(entry, "key", None) == STACKED for entry in path)


def block_paths(path: str, count: int) -> list[str]:
  """Lists the path of a stacked parameter in each of its `count` blocks."""
  before, _, after = f"/{path}".partition(f"/{STACKED}/")
  return [f"{before}/block_{i}/{after}".removeprefix("/") for i in range(count)]


def any_block(path: str) -> str:
  """Writes a star for the number of a block in a path, so that equal blocks share one name."""
  return re.sub(r"\bblock_\d+", "block_*", path)


def _split(leaf: Any) -> Sequence[Any]:
  if isinstance(leaf, np.ndarray):
    return list(leaf)
  if isinstance(leaf, jax.ShapeDtypeStruct):
    return [_abstract(leaf.shape[1:], leaf, lambda spec: spec[1:])] * leaf.shape[0]
  return jnp.unstack(leaf)


def _abstract(
  shape: tuple[int, ...], like: jax.ShapeDtypeStruct, change: Callable[[tuple], tuple]
) -> jax.ShapeDtypeStruct:
  """Makes an abstract array like another, with its sharding changed, if it has one."""
  sharding = like.sharding
  if sharding is not None:
    assert isinstance(sharding, NamedSharding)
    sharding = NamedSharding(sharding.mesh, PartitionSpec(*change(tuple(sharding.spec))))
  return jax.ShapeDtypeStruct(shape, like.dtype, sharding=sharding)


def _map_stages(change: Callable[[Mapping[str, Any]], Any], has: str, tree: Any) -> Any:
  def is_stage(node: Any) -> bool:
    return isinstance(node, Mapping) and has in node

  return jax.tree.map(lambda node: change(node) if is_stage(node) else node, tree, is_leaf=is_stage)
