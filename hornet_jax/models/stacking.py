"""The parameters of a stage's equal blocks, apart or stacked.

A model is made with its blocks apart, `stage_0/block_1/mlp/fc1/kernel`, as files hold them. Where
a loop goes over them (`HorNet.scan`), training has one array for all blocks of a stage,
`stage_0/blocks/mlp/fc1/kernel` with a leading axis: the loop then copies nothing, and an optimiser
compiles one update for 18 blocks. Without the loop they stay apart: there it is stacking that
would copy.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hornet_jax.errors import InputError

STACKED = "blocks"
"""The name of what is stacked, in the place of `block_0`, `block_1`, ..."""
_FIRST = "block_0"


def stack_blocks(tree: Any) -> Any:
  """A tree with the blocks of every stage stacked.

  Args:
    tree: parameters, or a state that holds trees like theirs, with blocks apart; of numpy or
      JAX arrays.
  """

  def stack(*leaves: Any) -> Any:
    return np.stack(leaves) if isinstance(leaves[0], np.ndarray) else jnp.stack(leaves)

  def stack_stage(blocks: Mapping[str, Any]) -> dict[str, Any]:
    in_order = [blocks[f"block_{i}"] for i in range(len(blocks))]
    return {STACKED: jax.tree.map(stack, *in_order)}

  return _map_stages(stack_stage, _FIRST, tree)


def unstack_blocks(tree: Any) -> Any:
  """A tree with the blocks of every stage apart: undoes `stack_blocks`.

  Args:
    tree: as of `stack_blocks`, or of abstract arrays.
  """

  def unstack_stage(stage: Mapping[str, Any]) -> dict[str, Any]:
    leaves, structure = jax.tree.flatten(stage[STACKED])
    blocks = zip(*map(_split, leaves), strict=True)
    return {f"block_{i}": jax.tree.unflatten(structure, block) for i, block in enumerate(blocks)}

  return _map_stages(unstack_stage, STACKED, tree)


def stacked_blocks(stage: Mapping[str, Any], depth: int) -> Any:
  """The stacked blocks of one stage, whose parameters come apart or stacked.

  Raises:
    InputError: if they are not those of so many blocks.
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
    f"the parameters of a stage must be those of {depth} blocks: expected {STACKED!r} of {depth}, "
    f"or block_0 to block_{depth - 1}, got {found}. Hint: they belong to another model."
  )


def is_stacked(path: Sequence[Any]) -> bool:
  """Whether a leaf at this path of JAX's has a leading axis of blocks."""
  return any(getattr(entry, "key", None) == STACKED for entry in path)


def _split(leaf: Any) -> Sequence[Any]:
  if isinstance(leaf, np.ndarray):
    return list(leaf)
  if isinstance(leaf, jax.ShapeDtypeStruct):
    return [jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)] * leaf.shape[0]
  return jnp.unstack(leaf)


def _map_stages(change: Callable[[Mapping[str, Any]], Any], has: str, tree: Any) -> Any:
  def is_stage(node: Any) -> bool:
    return isinstance(node, Mapping) and has in node

  return jax.tree.map(lambda node: change(node) if is_stage(node) else node, tree, is_leaf=is_stage)
