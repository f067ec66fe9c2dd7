"""Runs a trained classifier on the sets of the suite."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool
from tqdm import tqdm

from hornet_jax.data.datasets import Split
from hornet_jax.data.imagenet_classes import synsets
from hornet_jax.data.pipeline import eval_batches
from hornet_jax.data.schema import Field, batch_schema
from hornet_jax.errors import InputError
from hornet_jax.models import Architecture
from hornet_jax.parallel.mesh import batch_sharding, make_mesh, process_rows, replicated
from hornet_jax.pretrained.class_map import check_class_map, map_by_name
from hornet_jax.pretrained.model_io import PretrainedModel
from hornet_jax.suite.sets import SuiteSet
from hornet_jax.tasks.classification import Classification
from hornet_jax.tasks.predictions import Accuracy, Predictions
from hornet_jax.train.evaluate import predict_split
from hornet_jax.train.metric import Metric
from hornet_jax.train.step import make_eval_step
from hornet_jax.train.task import Forward, Outputs

_NEVER = -1e30  # logit of a class that does not compete
_TIMED_STEPS = 3


@dataclasses.dataclass(frozen=True)
class _AmongClasses(Classification):
  """Classification by some of the logits of a head.

  Attributes:
    columns: the logit of each class.
    allowed: whether a class competes, bool [K].
  """

  columns: Any = None
  allowed: Any = None

  def predict(self, forward: Forward, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Gives the results of each example among the classes that compete."""

    def among_classes(images: Array) -> Outputs:
      logits, out = forward(images)
      return jnp.where(self.allowed[None], logits[:, self.columns], _NEVER), out

    return super().predict(among_classes, inputs)


@dataclasses.dataclass(frozen=True)
class SetResult:
  """What came of one set.

  Attributes:
    predictions: predictions with each weights, by their names.
    num_classes: number of classes that competed.
    num_undecodable: images left out; each was named when it was met.
    seconds: time for all weights, reading and decoding included.
  """

  predictions: dict[str, Predictions]
  num_classes: int
  num_undecodable: int
  seconds: float


class Suite:
  """A model with some weights, compiled once for all sets.

  Attributes:
    images_per_second: speed of the model alone with one weights, the images being on the devices.
  """

  def __init__(
    self,
    models: Mapping[str, PretrainedModel],
    class_map: np.ndarray | None,
    *,
    batch_size: int,
    num_threads: int,
    num_processes: int = 0,
    devices: Sequence[jax.Device] | None = None,
  ):
    """Compiles the evaluation of a batch.

    Args:
      models: name of the weights -> model; all have the same model and preprocessing.
      class_map: number of each of the 1,000 classes in the head; None to go by the names of
        the model's classes.
      batch_size: images of a batch, rounded up to a multiple of the devices.
      num_threads: readers in each process.
      num_processes: largest number of processes that read; 0 for this one alone.
      devices: devices to use; None for all.

    Raises:
      InputError: if the model's classes are others.
    """
    pretrained = next(iter(models.values()))
    preprocessing = pretrained.preprocessing
    self._task = Classification(
      len(synsets()), preprocessing.view, mean=preprocessing.mean, std=preprocessing.std
    )
    self._mesh = make_mesh(devices)
    self._batch_size = -(-batch_size // self._mesh.size) * self._mesh.size
    self._num_threads = num_threads
    self._num_processes = num_processes
    columns = _columns(preprocessing.class_names, class_map)
    everywhere = replicated(self._mesh)
    weights = {
      name: jax.device_put({"params": model.params}, everywhere) for name, model in models.items()
    }
    step = jax.jit(self._make_step(pretrained.model, columns), out_shardings=everywhere)
    allowed = jax.device_put(np.ones(len(columns), bool), everywhere)
    compiled = step.lower(next(iter(weights.values())), self._zeros(), allowed).compile()
    self._steps = {
      name: functools.partial(compiled, variables) for name, variables in weights.items()
    }
    self.images_per_second = self._time(allowed)

  def predict(self, eval_set: SuiteSet, split: Split) -> SetResult:
    """The predictions of every weights on every image of a set, read once.

    Raises:
      InputError: if the set has other classes, or no image that can be decoded.
    """
    if split.class_names != synsets():
      raise InputError(
        f"{split.name} must have the {len(synsets()):,} classes of ImageNet-1K in their order: "
        f"expected {synsets()[0]}, ..., got {len(split.class_names):,} "
        f"({', '.join(split.class_names[:3])}, ...). Hint: prepare it from its archives."
      )
    own = _classes_in(split) if eval_set.own_classes else np.arange(len(synsets()))
    mask = np.zeros(len(synsets()), bool)
    mask[own] = True
    allowed = jax.device_put(mask, replicated(self._mesh))
    steps = [lambda batch, step=step: step(batch, allowed) for step in self._steps.values()]
    task = self._task
    if eval_set.ready:
      task = dataclasses.replace(task, view=dataclasses.replace(task.view, crop_fraction=1.0))
    batches = eval_batches(
      split,
      task.load,
      task.eval_schema,
      batch_size=self._batch_size,
      rows=process_rows(self._batch_size, batch_sharding(self._mesh)).tolist(),
      num_threads=self._num_threads,
      num_processes=self._num_processes,
      key=eval_set.key or _no_key,
    )
    begin = time.perf_counter()
    total = -(-len(split.source) // self._batch_size)
    watched = tqdm(
      batches, eval_set.title, total=total, unit="batch", disable=jax.process_index() > 0 or None
    )
    with contextlib.closing(batches):
      metrics = predict_split(steps, iter(watched), self._batch_size, self._mesh, task, split)
    seconds = time.perf_counter() - begin
    count = metrics[0].count
    if not count:
      raise InputError(f"{split.name} must hold images: none of its {len(split.source)} decodes.")
    return SetResult(
      {name: _predictions(metric) for name, metric in zip(self._steps, metrics, strict=True)},
      num_classes=len(own),
      num_undecodable=len(split.source) - count,
      seconds=seconds,
    )

  def _make_step(
    self, model: Architecture, columns: np.ndarray
  ) -> Callable[[Any, dict[str, Array], Bool[Array, "K"]], dict[str, Array]]:
    """Builds (variables, batch, allowed) -> results of each example among the allowed classes."""

    def step(variables, batch, allowed):
      task = _AmongClasses(**vars(self._task), columns=columns, allowed=allowed)
      return make_eval_step(model, task)(variables, batch)

    return step

  def _zeros(self) -> dict[str, jax.Array]:
    fields = batch_schema(self._task.eval_schema) | {"key": Field((), np.int32)}
    batch = {
      name: np.zeros((self._batch_size, *field.shape), field.dtype)
      for name, field in fields.items()
    }
    return jax.device_put(batch, batch_sharding(self._mesh))

  def _time(self, allowed: jax.Array) -> float:
    step, batch = next(iter(self._steps.values())), self._zeros()
    jax.block_until_ready(step(batch, allowed))
    begin = time.perf_counter()
    for _ in range(_TIMED_STEPS):
      jax.block_until_ready(step(batch, allowed))
    return _TIMED_STEPS * self._batch_size / (time.perf_counter() - begin)


def _predictions(metric: Metric) -> Predictions:
  assert isinstance(metric, Accuracy), "that of classification"
  return metric.predictions()


def _columns(class_names: Sequence[str], class_map: np.ndarray | None) -> np.ndarray:
  """The logit of each of the 1,000 classes."""
  wanted = synsets()
  if class_map is not None:
    check_class_map(class_map, len(wanted), len(class_names))
    return class_map
  columns, _ = map_by_name(wanted, class_names) or (None, "")
  if columns is None or (columns < 0).any():
    missing = wanted if columns is None else [wanted[k] for k in np.flatnonzero(columns < 0)]
    raise InputError(
      f"the model must know the {len(wanted):,} classes of ImageNet-1K by their WordNet ids: it "
      f"has {len(class_names):,} classes ({', '.join(class_names[:3])}, ...), and not "
      f"{missing[0]} and {len(missing) - 1:,} more. Hint: --class_map=FILE says which of them "
      "stand for the 1,000."
    )
  return columns


def _no_key(example: dict[str, Any]) -> int:
  return 0


def _classes_in(split: Split) -> np.ndarray:
  return np.unique([int(example["label"]) for example in split.source])
