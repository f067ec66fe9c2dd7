"""What the head of a task's model is told of an image in training is described here."""

import jax

from hornet_jax.cost.model_work import HeadContext
from hornet_jax.data.schema import batch_schema
from hornet_jax.train.task import Task

_ROWS = 2  # a task may need a pair to mix


def head_context(task: Task) -> HeadContext:
  """Describes what `Task.context` gives for one image: names, shapes and types."""
  batch = {
    name: jax.ShapeDtypeStruct((_ROWS, *field.shape), field.dtype)
    for name, field in batch_schema(task.schema).items()
  }

  def told(batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
    keys = jax.random.split(jax.random.key(0), _ROWS)
    return task.context(task.inputs(batch, keys, train=True))

  arrays = jax.eval_shape(told, batch)
  return tuple((name, array.shape[1:], array.dtype.name) for name, array in sorted(arrays.items()))
