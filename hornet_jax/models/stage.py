"""A stage runs equal blocks, and chooses what is kept of them for the backward pass."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from hornet_jax.models.execution import REMAT_POLICIES, Execution
from hornet_jax.models.parallel import constrain_batch, gather_kernels
from hornet_jax.models.param_info import ParamInfoOf, layer_param_info
from hornet_jax.models.stacking import check_apart, stage_stack

BlockConstructors = Callable[..., nn.Module] | Sequence[Callable[..., nn.Module]]
"""The constructor of a stage's blocks, called with `execution` and `name`, or several that take
turns, whose modules have the same parameters."""


class Stage(nn.Module):
  """A stage applies equal blocks, named `block_i`, one after another.

  Where `execution.scan` is set, the blocks are compiled once, as a loop over their stacked
  parameters, which may come apart or as `stack_blocks` makes them. Results differ by rounding
  alone, and the loop returns the output of the last block only: to keep all would take memory.

  Attributes:
    depth: number of blocks.
    block: constructor of a block, (x, drop-path factors) -> x; called with `execution`. Several
      take turns: with windows and shifted windows, say, for blocks of equal parameters.
    execution: the way in which they are computed.
    param_info: function from the path of a parameter in a block to what it is.
  """

  depth: int
  block: BlockConstructors
  execution: Execution = Execution()
  param_info: ParamInfoOf = layer_param_info

  @nn.compact
  def __call__(
    self, x: Float[Array, "B *grid C"], factors: Float[Array, "depth 2 B"] | None = None
  ) -> list[Float[Array, "B *grid C"]]:
    """Returns a list of the outputs of all blocks; with `scan` that of the last alone."""
    how = self.execution
    if how.scan and not self.is_initializing():
      return [self._scanned(x, factors)]
    check_apart(self.variables.get("params", {}), self.depth)
    call = _call if how.remat == "none" else nn.remat(_call, policy=REMAT_POLICIES[how.remat])
    outputs = []
    for i in range(self.depth):
      block = self._kinds[i % len(self._kinds)](execution=how, name=f"block_{i}")
      x = call(block, x, None if factors is None else factors[i])
      x = constrain_batch(x, how.batch_axes)
      outputs.append(x)
    return outputs[-1:] if how.scan else outputs

  @property
  def _kinds(self) -> Sequence[Callable[..., nn.Module]]:
    return self.block if isinstance(self.block, Sequence) else (self.block,)

  def _scanned(self, x: Array, factors: Array | None) -> Array:
    """Runs a loop whose body has one block of each kind; what is left over follows the loop."""
    stacked = stage_stack(self.variables.get("params", {}), self.depth), factors
    kinds = self._kinds
    turns, left = divmod(self.depth, len(kinds))
    looped = turns * len(kinds)

    def turn(leaf: Array) -> Array:
      return leaf[:looped].reshape(turns, len(kinds), *leaf.shape[1:])

    def body(x: Array, of_turn: Any) -> tuple[Array, None]:
      for i, kind in enumerate(kinds):
        x = self._apply(kind, i, x, of_turn, is_repeated=turns > 1)
      return x, None

    x, _ = jax.lax.scan(body, x, jax.tree.map(turn, stacked))
    for i, kind in enumerate(kinds[:left], start=looped):
      x = self._apply(kind, i, x, stacked, is_repeated=False)
    return x

  def _apply(
    self, kind: Callable[..., nn.Module], index: int, x: Array, stacked: Any, *, is_repeated: bool
  ) -> Array:
    """Applies the block that has this index in stacked parameters and drop-path factors."""
    how = self.execution
    block = kind(execution=how, parent=None)

    def apply(x: Array, stacked: Any) -> Array:
      # Taken out in here: what is kept for the backward pass lies as the stack does, in parts.
      params, factors = jax.tree.map(operator.itemgetter(index), stacked)
      if how.fsdp:
        params = gather_kernels(params, how.kernel_dtype, self.param_info)
      return constrain_batch(block.apply({"params": params}, x, factors), how.batch_axes)

    if how.remat != "none":
      # A loop keeps the two computations apart by itself; one of a single turn is unrolled.
      policy = REMAT_POLICIES[how.remat]
      apply = jax.checkpoint(apply, policy=policy, prevent_cse=not is_repeated)
    return apply(x, stacked)


def _call(block: nn.Module, x: Array, factors: Array | None) -> Array:
  return block(x, factors)
