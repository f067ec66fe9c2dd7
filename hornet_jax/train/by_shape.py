"""A step is compiled once for each shape of batches."""

import concurrent.futures
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jax.sharding import Mesh

from hornet_jax.data.schema import Schema, batch_schema
from hornet_jax.parallel.mesh import batch_sharding

AbstractBatch = Mapping[str, jax.ShapeDtypeStruct]
"""A batch without values: shapes, types and shardings."""


class ByShape:
  """`ByShape` is called like the step; each batch meets the program that was compiled for it."""

  def __init__(self, programs: Mapping[tuple[int, ...], jax.stages.Compiled]):
    """Takes the programs.

    Args:
      programs: shape of the images of a batch, [B, H, W, C] -> what is compiled for it.
    """
    self.programs = programs

  def __call__(self, state: Any, batch: Mapping[str, jax.Array]) -> Any:
    """Runs the program of a batch.

    Args:
      state: whatever the step takes first.
      batch: arrays of one of the shapes.
    """
    return self.programs[batch["image"].shape](state, batch)


def compile_by_shape(
  step: Any,
  state: Any,
  batches: Sequence[AbstractBatch],
  options: Mapping[str, str | bool] | None = None,
) -> ByShape:
  """Compiles a step for batches of several shapes at the same time, as many as there are cores.

  Args:
    step: step (state, batch) -> anything, jitted.
    state: described or real.
    batches: descriptions of the batches.
    options: what the compiler is told.
  """
  lowered = [step.lower(state, batch) for batch in batches]
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    compiled = pool.map(lambda one: one.compile(options), lowered)
  return ByShape({batch["image"].shape: one for batch, one in zip(batches, compiled, strict=True)})


def abstract_batch(schema: Schema, batch_size: int, mesh: Mesh) -> dict[str, jax.ShapeDtypeStruct]:
  """Describes a batch.

  Args:
    schema: fields that are loaded of an example.
    batch_size: rows of the global batch.
    mesh: the devices, over which the rows are spread.
  """
  sharding = batch_sharding(mesh)
  return {
    name: jax.ShapeDtypeStruct((batch_size, *field.shape), field.dtype, sharding=sharding)
    for name, field in batch_schema(schema).items()
  }
