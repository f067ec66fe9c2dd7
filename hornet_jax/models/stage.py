"""The equal blocks of a stage, and what of them is kept for the backward pass."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hornet_jax.errors import unknown_name
from hornet_jax.models.blocks import Block
from hornet_jax.models.dense import DENSE_OUTPUT
from hornet_jax.models.parallel import constrain_batch, gather_kernels
from hornet_jax.models.stacking import check_apart, stacked_blocks

_POLICIES = {
  "full": jax.checkpoint_policies.nothing_saveable,
  "dense": jax.checkpoint_policies.save_only_these_names(DENSE_OUTPUT),
  "dots": jax.checkpoint_policies.dots_saveable,
}
REMAT = ("none", *_POLICIES)
"""What is recomputed in the backward pass, by name: nothing; everything inside each block;
all but the outputs of its linear layers; all but every matrix product, those of the Fourier
transforms too."""


class Stage(nn.Module):
  """Equal blocks, one after another, named `block_i`.

  Attributes:
    depth: number of blocks.
    block: the arguments of `Block`.
    remat: a name in `REMAT`.
    scan: whether the blocks are compiled once, as a loop over their stacked parameters, which
      may come apart or as `stack_blocks` has them. Results differ by rounding alone, and of the
      blocks' outputs only the last leaves the loop: to keep all would take memory.
    batch_axes: see `constrain_batch`.
    gather: with `scan`, whether each block's kernels lie in parts on the devices, see
      `gather_kernels`.
  """

  depth: int
  block: Mapping[str, Any]
  remat: str = "none"
  scan: bool = False
  batch_axes: Sequence[str] = ()
  gather: bool = False

  @nn.compact
  def __call__(
    self, x: Float[Array, "B H W C"], factors: Float[Array, "depth 2 B"] | None = None
  ) -> list[Float[Array, "B H W C"]]:
    """The output of every block; with `scan` of the last alone."""
    if self.scan and not self.is_initializing():
      return [self._scanned(x, factors)]
    check_apart(self.variables.get("params", {}), self.depth)
    block_class = Block if self.remat == "none" else nn.remat(Block, policy=_POLICIES[self.remat])
    outputs = []
    for i in range(self.depth):
      block = block_class(**self.block, name=f"block_{i}")
      x = constrain_batch(block(x, None if factors is None else factors[i]), self.batch_axes)
      outputs.append(x)
    return outputs[-1:] if self.scan else outputs

  def _scanned(self, x: Array, factors: Array | None) -> Array:
    stacked = stacked_blocks(self.variables.get("params", {}), self.depth)
    block = Block(**self.block, parent=None)
    in_float32 = block.gradient_sum == "float32"
    gathered_dtype = jnp.float32 if in_float32 else block.dtype

    def apply(params: Any, x: Array, factors: Array | None) -> Array:
      if self.gather:
        params = gather_kernels(params, gathered_dtype)
      return constrain_batch(block.apply({"params": params}, x, factors), self.batch_axes)

    if self.remat != "none":
      # A loop keeps the two computations apart by itself.
      apply = jax.checkpoint(apply, policy=_POLICIES[self.remat], prevent_cse=False)

    def body(x: Array, of_block: tuple[Any, Array | None]) -> tuple[Array, None]:
      return apply(of_block[0], x, of_block[1]), None

    return jax.lax.scan(body, x, (stacked, factors))[0]


def check_remat(name: str) -> None:
  """Raises `InputError` if there is no such policy."""
  if name not in REMAT:
    raise unknown_name("remat", str(name), REMAT)
