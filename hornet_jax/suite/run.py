"""Runs a trained classifier on the sets of the suite."""

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
from hornet_jax.data.normalize import normalize
from hornet_jax.data.pipeline import eval_batches
from hornet_jax.errors import InputError
from hornet_jax.suite.sets import SuiteSet
from hornet_jax.train.class_map import check_class_map, map_by_synset
from hornet_jax.train.evaluate import Predictions, predict_split
from hornet_jax.train.mesh import batch_sharding, make_mesh, process_rows, replicated
from hornet_jax.train.step import example_results
from hornet_jax.train.weights import Trained

_NEVER = -1e30  # logit of a class that does not compete
_TIMED_STEPS = 3


@dataclasses.dataclass(frozen=True)
class SetResult:
  """What came of one set.

  Attributes:
    predictions: of each weights, by their names.
    num_classes: that competed.
    num_undecodable: images left out; each was named when it was met.
    seconds: for all weights, reading and decoding included.
  """

  predictions: dict[str, Predictions]
  num_classes: int
  num_undecodable: int
  seconds: float


class Suite:
  """A model with some weights, compiled once for all sets.

  Attributes:
    images_per_second: of the model alone with one weights, the images being on the devices.
  """

  def __init__(
    self,
    models: Mapping[str, Trained],
    class_map: np.ndarray | None,
    *,
    batch_size: int,
    num_threads: int,
    devices: Sequence[jax.Device] | None = None,
  ):
    """Compiles the evaluation of a batch.

    Args:
      models: name of the weights -> model; all have the same model and preprocessing.
      class_map: number of each of the 1,000 classes in the head; None to go by the names of
        the model's classes.
      batch_size: images of a batch, rounded up to a multiple of the devices.
      num_threads: readers.
      devices: those to use; None for all.

    Raises:
      InputError: if the model's classes are others.
    """
    trained = next(iter(models.values()))
    self._view = trained.preprocessing.view
    self._mesh = make_mesh(devices)
    self._batch_size = -(-batch_size // self._mesh.size) * self._mesh.size
    self._num_threads = num_threads
    columns = _columns(trained.preprocessing.class_names, class_map)
    everywhere = replicated(self._mesh)
    weights = {name: jax.device_put(model.params, everywhere) for name, model in models.items()}
    step = jax.jit(_make_step(trained, columns), out_shardings=everywhere)
    allowed = jax.device_put(np.ones(len(columns), bool), everywhere)
    compiled = step.lower(next(iter(weights.values())), self._zeros(), allowed).compile()
    self._steps = {name: functools.partial(compiled, params) for name, params in weights.items()}
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
    view = dataclasses.replace(self._view, crop_fraction=1.0) if eval_set.ready else self._view
    batches = eval_batches(
      split,
      view=view,
      batch_size=self._batch_size,
      rows=process_rows(self._batch_size, batch_sharding(self._mesh)).tolist(),
      num_threads=self._num_threads,
      key=eval_set.key or (lambda example: 0),
    )
    begin = time.perf_counter()
    total = -(-len(split.source) // self._batch_size)
    watched = tqdm(
      batches, eval_set.title, total=total, unit="batch", disable=jax.process_index() > 0 or None
    )
    of_weights = predict_split(steps, iter(watched), self._batch_size, self._mesh)
    seconds = time.perf_counter() - begin
    if not len(of_weights[0].label):
      raise InputError(f"{split.name} must hold images: none of its {len(split.source)} decodes.")
    return SetResult(
      dict(zip(self._steps, of_weights, strict=True)),
      num_classes=len(own),
      num_undecodable=len(split.source) - len(of_weights[0].label),
      seconds=seconds,
    )

  def _zeros(self) -> dict[str, jax.Array]:
    rows, side = self._batch_size, self._view.image_size
    batch = {
      "image": np.zeros((rows, side, side, 3), np.uint8),
      "label": np.zeros(rows, np.int32),
      "weight": np.ones(rows, np.float32),
      "index": np.zeros(rows, np.int32),
      "key": np.zeros(rows, np.int32),
    }
    return jax.device_put(batch, batch_sharding(self._mesh))

  def _time(self, allowed: jax.Array) -> float:
    step, batch = next(iter(self._steps.values())), self._zeros()
    jax.block_until_ready(step(batch, allowed))
    begin = time.perf_counter()
    for _ in range(_TIMED_STEPS):
      jax.block_until_ready(step(batch, allowed))
    return _TIMED_STEPS * self._batch_size / (time.perf_counter() - begin)


def _make_step(
  trained: Trained, columns: np.ndarray
) -> Callable[[Any, dict[str, Array], Bool[Array, "K"]], dict[str, Array]]:
  """Builds (params, batch, allowed) -> `example_results` among the allowed classes."""
  preprocessing = trained.preprocessing

  def step(params, batch, allowed):
    images = normalize(batch["image"], preprocessing.mean, preprocessing.std)
    logits, _ = trained.model.apply({"params": params}, images)
    logits = jnp.where(allowed[None], logits[:, columns], _NEVER)
    passed_on = {name: batch[name] for name in ("label", "weight", "index", "key")}
    return passed_on | example_results(logits, batch["label"])

  return step


def _columns(class_names: Sequence[str], class_map: np.ndarray | None) -> np.ndarray:
  """The logit of each of the 1,000 classes."""
  wanted = synsets()
  if class_map is not None:
    check_class_map(class_map, len(wanted), len(class_names))
    return class_map
  columns = map_by_synset(wanted, class_names)
  if columns is None or (columns < 0).any():
    missing = wanted if columns is None else [wanted[k] for k in np.flatnonzero(columns < 0)]
    raise InputError(
      f"the model must know the {len(wanted):,} classes of ImageNet-1K by their WordNet ids: it "
      f"has {len(class_names):,} classes ({', '.join(class_names[:3])}, ...), and not "
      f"{missing[0]} and {len(missing) - 1:,} more. Hint: --class_map=FILE says which of them "
      "stand for the 1,000."
    )
  return columns


def _classes_in(split: Split) -> np.ndarray:
  return np.unique([int(example["label"]) for example in split.source])
