"""A config and its datasets, made into the objects that training and evaluation use."""

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from hornet_jax.data.augment import Augmentation
from hornet_jax.data.datasets import Split, default_splits, open_split
from hornet_jax.data.mix import MixSettings
from hornet_jax.data.normalize import normalize
from hornet_jax.data.pipeline import Batch, eval_batches, train_batches
from hornet_jax.errors import InputError, unknown_name
from hornet_jax.models import HorNet, create_model
from hornet_jax.train.ema import fitted_decay
from hornet_jax.train.evaluate import Predictions, predict_split
from hornet_jax.train.optimizer import adamw, warmup_cosine
from hornet_jax.train.settings import check_ranges
from hornet_jax.train.sharding import (
  batch_sharding,
  make_mesh,
  process_rows,
  replicated,
)
from hornet_jax.train.state import TrainState, abstract_state, create_state
from hornet_jax.train.step import make_eval_step, make_train_step

_DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}

_AUGMENTATION = [field.name for field in dataclasses.fields(Augmentation)]


def build_model(settings: Mapping[str, Any], image_size: int, num_classes: int) -> HorNet:
  """The model that `config.model` describes, checked against the image size.

  Raises:
    InputError: if a setting is unknown or the image too small.
  """
  fields = dict(settings)
  variant, dtype = fields.pop("variant"), fields.pop("dtype")
  if dtype not in _DTYPES:
    raise unknown_name("dtype", dtype, _DTYPES)
  model = create_model(variant, num_classes=num_classes, dtype=_DTYPES[dtype], **fields)
  images = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
  jax.eval_shape(model.init, jax.random.key(0), images)
  return model


def _open_like(trained: Split, full_name: str, data_dir: str) -> Split:
  """Opens `NAME/SPLIT`, whose classes must be those of the training split."""
  name, separator, split_name = full_name.rpartition("/")
  if not separator:
    raise InputError(f"`eval.also` must name datasets and splits, NAME/SPLIT: got {full_name!r}.")
  split = open_split(name, split_name, data_dir)
  if split.class_names != trained.class_names:
    raise InputError(
      f"`eval.also` must have the classes of {trained.name}: expected "
      f"{_first_few(trained.class_names)}, got {_first_few(split.class_names)} in {split.name}."
    )
  return split


def _first_few(class_names: list[str]) -> str:
  return f"{len(class_names)} ({', '.join(class_names[:3])}, ...)"


class Experiment:
  """What a config describes, on a mesh.

  Attributes:
    mesh: the devices.
    model: built for the dataset's classes.
    train_split: opened, without TensorFlow.
    eval_split: likewise; the one that is reported.
    other_eval_splits: likewise, of `eval.also`.
    total_steps: epochs * floor(N / B).
    steps_per_epoch: floor(N / B), as in the official code.
    mixing: of mixup and cutmix.
    eval_batch_size: the config's, rounded up to a multiple of the devices.
  """

  def __init__(self, config: Mapping[str, Any], devices: list[jax.Device] | None = None):
    """Opens the datasets and checks every setting that can be checked beforehand.

    Args:
      config: nested, with the keys of configs/common.py.
      devices: those to use; None for all.

    Raises:
      InputError: if a setting is bad, or the dataset is unknown or not prepared.
    """
    check_ranges(config)
    self.config = config
    data = config["data"]
    self.mesh = make_mesh(devices)
    name, data_dir = data["dataset"], data["data_dir"]
    train_split, eval_split = data["train_split"], data["eval_split"]
    if not (train_split and eval_split):
      defaults = default_splits(name, data_dir)
      train_split, eval_split = train_split or defaults[0], eval_split or defaults[1]
    self.train_split = open_split(name, train_split, data_dir)
    self.eval_split = open_split(name, eval_split, data_dir)
    self.other_eval_splits = [
      _open_like(self.train_split, full_name, data_dir) for full_name in config["eval"]["also"]
    ]
    self.model = build_model(config["model"], data["image_size"], len(self.train_split.class_names))
    self.steps_per_epoch = len(self.train_split.source) // data["batch_size"]
    # Rounding, so that 2.3 epochs of 100 steps are 230, not 229.
    self.total_steps = math.floor(round(config["epochs"] * self.steps_per_epoch, 6))
    # Evaluation pads its last batch anyway: any mesh will do.
    self.eval_batch_size = -(-data["eval_batch_size"] // self.mesh.size) * self.mesh.size
    if self.total_steps < 1:
      raise InputError(
        f"`epochs` times {self.steps_per_epoch} steps an epoch must give a step: expected "
        f"more, got epochs {config['epochs']} with batch_size {data['batch_size']} and "
        f"{len(self.train_split.source)} examples."
      )
    optimizer = dict(config["optimizer"])
    self._schedule = warmup_cosine(
      optimizer.pop("learning_rate"),
      optimizer.pop("final_learning_rate"),
      self.total_steps,
      self.steps_of(optimizer.pop("warmup_epochs")),
    )
    self._tx = adamw(self._schedule, **optimizer)
    self.mixing = MixSettings(**config["mix"])
    self._augmentation = Augmentation(**{name: data[name] for name in _AUGMENTATION})
    self._preprocess = functools.partial(normalize, mean=data["mean"], std=data["std"])

  def steps_of(self, epochs: float) -> int:
    """The nearest number of steps to so many epochs."""
    return round(epochs * self.steps_per_epoch)

  @property
  def _image_shape(self) -> tuple[int, int, int, int]:
    data = self.config["data"]
    return (data["batch_size"], data["image_size"], data["image_size"], 3)

  def create_state(self) -> TrainState:
    """The initial state, on the devices."""
    return create_state(self.model, self._tx, self._image_shape, self.mesh, self.config["seed"])

  def abstract_state(self) -> TrainState:
    """Shapes, types and shardings of the state."""
    return abstract_state(self.model, self._tx, self._image_shape, self.mesh)

  def place(self, params: Any) -> Any:
    """Parameters from the host, on the devices."""
    return jax.device_put(params, replicated(self.mesh))

  def compile_train_step(self):
    """(state, batch) -> (state, metrics), compiled once; takes over the state's memory."""
    ema = self.config["ema"]
    train_step = make_train_step(
      self.model,
      self._tx,
      self._schedule,
      self._preprocess,
      label_smoothing=self.config["loss"]["label_smoothing"],
      mixing=self.mixing,
      erasing_rate=self.config["data"]["erasing_rate"],
      ema_decay=fitted_decay(ema["decay"], ema["reference_steps"], self.total_steps),
      seed=self.config["seed"],
    )
    state = self.abstract_state()
    state_shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    jitted = jax.jit(
      train_step, donate_argnums=0, out_shardings=(state_shardings, replicated(self.mesh))
    )
    batch = self._abstract_batch(self.config["data"]["batch_size"])
    return jitted.lower(state, batch).compile()

  def compile_eval_step(self):
    """(params, batch) -> per-example results on every device, compiled once."""
    jitted = jax.jit(
      make_eval_step(self.model, self._preprocess), out_shardings=replicated(self.mesh)
    )
    batch = self._abstract_batch(self.eval_batch_size)
    return jitted.lower(self.abstract_state().params, batch).compile()

  def _abstract_batch(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
    side = self.config["data"]["image_size"]
    sharding = batch_sharding(self.mesh)
    leaves = {
      "image": ((batch_size, side, side, 3), jnp.uint8),
      "label": ((batch_size,), jnp.int32),
      "weight": ((batch_size,), jnp.float32),
      "index": ((batch_size,), jnp.int32),
    }
    return {
      key: jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)
      for key, (shape, dtype) in leaves.items()
    }

  def train_batches(self, start_step: int) -> Iterator[Batch]:
    """This process's rows of the training batches after `start_step` steps."""
    data = self.config["data"]
    return train_batches(
      self.train_split,
      image_size=data["image_size"],
      batch_size=data["batch_size"],
      augmentation=self._augmentation,
      seed=self.config["seed"],
      start_step=start_step,
      rows=process_rows(data["batch_size"], batch_sharding(self.mesh)).tolist(),
      num_threads=data["num_threads"],
    )

  def predict(self, eval_step, params: Any, split: Split | None = None) -> Predictions:
    """Results of every example of a split; None for the evaluation split."""
    data = self.config["data"]
    batches = eval_batches(
      split or self.eval_split,
      image_size=data["image_size"],
      batch_size=self.eval_batch_size,
      crop_fraction=data["eval_crop_fraction"],
      rows=process_rows(self.eval_batch_size, batch_sharding(self.mesh)).tolist(),
      num_threads=data["num_threads"],
    )
    return predict_split(eval_step, params, batches, self.eval_batch_size, self.mesh)
