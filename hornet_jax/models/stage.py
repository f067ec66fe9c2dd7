"""A stage runs equal blocks, and chooses what is kept of them for the backward pass."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from hornet_jax.models.execution import REMAT_POLICIES, Execution
from hornet_jax.models.parallel import constrain_batch, gather_kernels
from hornet_jax.models.param_info import ParamInfoOf, layer_param_info
from hornet_jax.models.stacking import check_apart, stage_stack


class Stage(nn.Module):
  """A stage applies equal blocks, named `block_i`, one after another.

  Where `execution.scan` is set, the blocks are compiled once, as a loop over their stacked
  parameters, which may come apart or as `stack_blocks` makes them. Results differ by rounding
  alone, and the loop returns the output of the last block only: to keep all would take memory.

  Attributes:
    depth: number of blocks.
    block: constructor of a block, (x, drop-path factors) -> x; called with `execution`.
    execution: the way in which they are computed.
    param_info: function from the path of a parameter in a block to what it is.
  """

  depth: int
  block: Callable[..., nn.Module]
  execution: Execution = Execution()
  param_info: ParamInfoOf = layer_param_info

  @nn.compact
  def __call__(
    self, x: Float[Array, "B H W C"], factors: Float[Array, "depth 2 B"] | None = None
  ) -> list[Float[Array, "B H W C"]]:
    """Returns a list of the outputs of all blocks; with `scan` that of the last alone."""
    how = self.execution
    if how.scan and not self.is_initializing():
      return [self._scanned(x, factors)]
    check_apart(self.variables.get("params", {}), self.depth)
    call = _call if how.remat == "none" else nn.remat(_call, policy=REMAT_POLICIES[how.remat])
    outputs = []
    for i in range(self.depth):
      block = self.block(execution=how, name=f"block_{i}")
      x = call(block, x, None if factors is None else factors[i])
      x = constrain_batch(x, how.batch_axes)
      outputs.append(x)
    return outputs[-1:] if how.scan else outputs

  def _scanned(self, x: Array, factors: Array | None) -> Array:
    how = self.execution
    stacked = stage_stack(self.variables.get("params", {}), self.depth)
    block = self.block(execution=how, parent=None)

    def apply(params: Any, x: Array, factors: Array | None) -> Array:
      if how.fsdp:
        params = gather_kernels(params, how.kernel_dtype, self.param_info)
      return constrain_batch(block.apply({"params": params}, x, factors), how.batch_axes)

    if how.remat != "none":
      # A loop keeps the two computations apart by itself.
      apply = jax.checkpoint(apply, policy=REMAT_POLICIES[how.remat], prevent_cse=False)

    def body(x: Array, of_block: tuple[Any, Array | None]) -> tuple[Array, None]:
      return apply(of_block[0], x, of_block[1]), None

    return jax.lax.scan(body, x, (stacked, factors))[0]


def _call(block: nn.Module, x: Array, factors: Array | None) -> Array:
  return block(x, factors)
