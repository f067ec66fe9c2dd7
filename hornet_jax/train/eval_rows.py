"""How many images are evaluated at once is bounded by the memory that they take."""

from jax.sharding import Mesh

from hornet_jax.data.schema import Schema, row_bytes

_BYTES = 2**28
"""Largest size of the rows of one device. A task's arrays grow with its settings, as the windows of
segmentation do with their ratios, and what it computes of them is larger by a factor of 10."""


def eval_rows(wanted: int, largest: int, schema: Schema, mesh: Mesh) -> int:
  """Gives the number of rows of a batch of evaluation, on which no number depends.

  Args:
    wanted: number of rows that somebody asks for.
    largest: number of images of the largest split.
    schema: fields of an example that is evaluated.
    mesh: the devices, over which the rows are spread.

  Returns:
    As many as are wanted, as the split has, or as fit: the least of these, rounded up to a multiple
    of the devices, of which each has one row at least.
  """
  fitting = max(_BYTES // row_bytes(schema), 1) * mesh.size
  return -(-min(wanted, largest, fitting) // mesh.size) * mesh.size
