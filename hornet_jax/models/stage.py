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
    blocks = [self._pure(kind) for kind in self._kinds]
    turns, left = divmod(self.depth, len(blocks))

    def run(x: Array, of_blocks: Any, count: int) -> Array:
      for i, block in enumerate(blocks[:count]):
        x = block(x, *jax.tree.map(operator.itemgetter(i), of_blocks))
      return x

    def turn(leaf: Array) -> Array:
      return leaf[: turns * len(blocks)].reshape(turns, len(blocks), *leaf.shape[1:])

    x, _ = jax.lax.scan(
      lambda x, of_turn: (run(x, of_turn, len(blocks)), None), x, jax.tree.map(turn, stacked)
    )
    return run(x, jax.tree.map(lambda leaf: leaf[self.depth - left :], stacked), left)

  def _pure(self, kind: Callable[..., nn.Module]) -> Callable[..., Array]:
    """Makes a function (x, parameters, factors) -> x of a kind of block."""
    how = self.execution
    block = kind(execution=how, parent=None)

    def apply(x: Array, params: Any, factors: Array | None) -> Array:
      if how.fsdp:
        params = gather_kernels(params, how.kernel_dtype, self.param_info)
      return constrain_batch(block.apply({"params": params}, x, factors), how.batch_axes)

    if how.remat == "none":
      return apply
    # A loop keeps the two computations apart by itself.
    return jax.checkpoint(apply, policy=REMAT_POLICIES[how.remat], prevent_cse=False)


def _call(block: nn.Module, x: Array, factors: Array | None) -> Array:
  return block(x, factors)
