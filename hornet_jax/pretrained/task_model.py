"""A trained model of any task is loaded here, and applied to image files."""

import logging
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath

from hornet_jax.checkpoints.newest_valid import load_variables
from hornet_jax.data.pixels.decode import UndecodableImageError
from hornet_jax.errors import InputError
from hornet_jax.models import Architecture
from hornet_jax.models.apply import apply
from hornet_jax.paths import expanded
from hornet_jax.pretrained.model_io import check_is_weights, is_one_file, read_weights
from hornet_jax.pretrained.spec import build_spec
from hornet_jax.runs.workdir import load_class_names, load_class_numbers, load_config
from hornet_jax.tasks.build import build_task
from hornet_jax.tasks.settings_of_test import with_test_settings
from hornet_jax.train.presentation import Answer
from hornet_jax.train.ranking import ranking_key
from hornet_jax.train.task import Task

_logger = logging.getLogger(__name__)


class TaskModel(NamedTuple):
  """A `TaskModel` is a trained model with the task that it was trained for.

  Attributes:
    task: task that makes inputs of images, and answers of outputs.
    model: module with the task's head.
    variables: parameters, and the collections of the model's state, on the host.
    class_names: names of the dataset's classes.
    class_numbers: their numbers in its annotations; empty where untold.
  """

  task: Task
  model: Architecture
  variables: Mapping[str, Any]
  class_names: Sequence[str]
  class_numbers: Sequence[int] = ()


def load_task_model(
  path: str, checkpoint: str | int = "last", test_settings: Mapping[str, Any] | None = None
) -> TaskModel:
  """Loads a model of any task, with averaged weights.

  Args:
    path: workdir of a run, or a file or name of weights of any task, see `hornet_jax.load`.
    checkpoint: checkpoint of a workdir: `"last"`, `"best"` or the number of a step.
    test_settings: values of keys that say how a trained model is tested, by their dotted names, in
      place of the run's.

  Raises:
    InputError: if there is no trained model at `path`, or it is a backbone without a head.
  """
  if is_one_file(path):
    weights = read_weights(path, checkpoint=checkpoint)
    spec = weights.spec
    task, model = build_spec(spec, test_settings)
    return TaskModel(task, model, weights.variables, spec.class_names, spec.class_numbers)
  workdir = epath.Path(expanded(path, "a path of weights"))
  check_is_weights(workdir)
  class_names = load_class_names(workdir)
  config = with_test_settings(load_config(workdir), test_settings or {})
  task, model = build_task(config, len(class_names))
  _, _, averaged = load_variables(workdir / "checkpoints", checkpoint, ranking_key(task))
  return TaskModel(task, model, averaged, class_names, load_class_numbers(workdir))


def predict_files(
  loaded: TaskModel, paths: Sequence[str], *, top: int = 3
) -> Iterator[tuple[str, Answer | InputError]]:
  """Yields each path with what the model says of its image, or with why it cannot be read.

  Args:
    loaded: trained model.
    paths: paths of image files.
    top: largest number of things to say of an image, such as classes.
  """
  task = loaded.task

  @jax.jit
  def infer(variables: Mapping[str, Any], batch: Mapping[str, Any]) -> dict[str, jax.Array]:
    inputs = task.inputs(batch, None, train=False)
    return task.infer(lambda *given: apply(loaded.model, variables, *given)[0], inputs)

  variables = jax.device_put(loaded.variables)
  compiled: set[tuple[tuple[int, ...], ...]] = set()
  # Batches of one size: one compilation, bounded memory, however many images.
  size = min(len(paths), task.predict_together)
  for start in range(0, len(paths), max(size, 1)):
    batch = paths[start : start + size]
    pictures, refused = _read(task, batch)
    inferred = {}
    if pictures:
      arrays = [task.eval_arrays(pixels) for pixels in pictures.values()]
      arrays += [arrays[0]] * (size - len(arrays))
      batch_of_all = {name: np.stack([one[name] for one in arrays]) for name in arrays[0]}
      shapes = tuple(values.shape for values in batch_of_all.values())
      if shapes not in compiled:
        compiled.add(shapes)
        _logger.info("compiling the model ...")
      inferred = jax.device_get(infer(variables, batch_of_all))
    rows = {path: row for row, path in enumerate(pictures)}
    for path in batch:
      if path in refused:
        yield path, refused[path]
      else:
        of_image = {name: values[rows[path]] for name, values in inferred.items()}
        yield path, task.answer(of_image, pictures[path], loaded.class_names, top)


def _read(task: Task, paths: Sequence[str]) -> tuple[dict[str, np.ndarray], dict[str, InputError]]:
  """Reads the pixels of files, and finds out why those that cannot be read cannot."""
  pictures, refused = {}, {}
  for path in paths:
    try:
      pictures[path] = task.decode(pathlib.Path(path).read_bytes())
    except (OSError, UndecodableImageError) as error:
      reason = error.strerror if isinstance(error, OSError) and error.strerror else error
      refused[path] = InputError(f"image {path!r} cannot be read: {reason}")
  return pictures, refused
