"""A trained model of any source is measured on any split with its classes."""

import contextlib
import functools
from collections.abc import Sequence

import jax

from hornet_jax.data.datasets import Split
from hornet_jax.data.kinds import join_kinds
from hornet_jax.data.pipeline import eval_batches
from hornet_jax.errors import InputError
from hornet_jax.parallel.mesh import batch_sharding, make_mesh, process_rows, replicated
from hornet_jax.pretrained.task_model import TaskModel
from hornet_jax.train.by_shape import abstract_batch, compile_by_shape
from hornet_jax.train.eval_rows import eval_rows
from hornet_jax.train.evaluate import predict_split
from hornet_jax.train.metric import Metric
from hornet_jax.train.step import make_eval_step


def evaluate_model(
  loaded: TaskModel,
  split: Split,
  *,
  batch_size: int,
  num_threads: int,
  devices: Sequence[jax.Device] | None = None,
) -> Metric:
  """Measures a model on every example of a split.

  Args:
    loaded: trained model.
    split: labelled images.
    batch_size: images of a batch, or fewer, see `eval_rows`.
    num_threads: number of readers in each process.
    devices: devices to use; None for all.

  Raises:
    InputError: if the split has other classes than the model.
  """
  if split.class_names != list(loaded.class_names):
    raise InputError(
      f"{split.name} must have the classes of the model: expected {_short(loaded.class_names)}, "
      f"got {_short(split.class_names)}."
    )
  task = loaded.task.for_evaluation([split])
  mesh = make_mesh(list(devices) if devices else None)
  batch_size = eval_rows(batch_size, len(split.source), task.eval_schema, mesh)
  batches = eval_batches(
    split,
    task.load,
    join_kinds(task.eval_schemas, task.kinds(split)),
    batch_size=batch_size,
    rows=process_rows(batch_size, batch_sharding(mesh)).tolist(),
    num_threads=num_threads,
  )
  variables = jax.device_put(loaded.variables, replicated(mesh))
  step = jax.jit(make_eval_step(loaded.model, task), out_shardings=replicated(mesh))
  compiled = compile_by_shape(
    step, variables, [abstract_batch(schema, batch_size, mesh) for schema in task.eval_schemas]
  )
  with contextlib.closing(batches):
    (metric,) = predict_split(
      [functools.partial(compiled, variables)], batches, batch_size, mesh, task, split
    )
  return metric


def _short(class_names: Sequence[str]) -> str:
  return f"{len(class_names)} ({', '.join(class_names[:3])}, ...)"
