"""A config and its datasets, made into the objects that training and evaluation use."""

import dataclasses
import functools
import math
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from hornet_jax.cost.peaks import peak_training_rate
from hornet_jax.data.augment import Augmentation
from hornet_jax.data.datasets import Split, default_splits, open_split
from hornet_jax.data.mix import MixSettings, check_mixing
from hornet_jax.data.normalize import normalize
from hornet_jax.data.pipeline import Batch, eval_batches, train_batches
from hornet_jax.errors import InputError
from hornet_jax.train.class_map import read_class_map
from hornet_jax.train.ema import fitted_decay
from hornet_jax.train.evaluate import Predictions, predict_split
from hornet_jax.train.layer_decay import layer_ids
from hornet_jax.train.mesh import (
  batch_sharding,
  check_batch_size,
  make_mesh,
  process_rows,
  replicated,
  wait_for_all,
)
from hornet_jax.train.model import build_eval_view, build_model, on_mesh
from hornet_jax.train.optimizer import adamw, head_only, warmup_cosine
from hornet_jax.train.settings import check_ranges
from hornet_jax.train.start import start_from
from hornet_jax.train.state import TrainState, abstract_state, create_state
from hornet_jax.train.step import StepSettings, make_eval_step, make_train_step
from hornet_jax.train.weights import Trained, load

_AUGMENTATION = [field.name for field in dataclasses.fields(Augmentation)]


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
    eval_view: cropping and resizing for evaluation.
    preprocess: uint8 images to the model's input.
    max_skipped_steps: `optimizer.max_skipped_steps`.
    max_rollbacks: `optimizer.max_rollbacks`.
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
    self.mesh = make_mesh(devices, config["mesh"]["fsdp"])
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
    model = build_model(config["model"], data["image_size"], len(self.train_split.class_names))
    self.model = model if self.mesh.size == 1 else on_mesh(model, self.mesh)
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
    if optimizer["freeze_backbone"] and not config["init"]["checkpoint"]:
      raise InputError(
        "`optimizer.freeze_backbone` must come with `init.checkpoint`: expected a trained model "
        "to freeze, got none."
      )
    self.max_skipped_steps = optimizer.pop("max_skipped_steps")
    self.max_rollbacks = optimizer.pop("max_rollbacks")
    self._accumulation_steps = optimizer.pop("accumulation_steps")
    self._clip_each_micro_step = optimizer.pop("clip_each_micro_step")
    self._trained = head_only if optimizer.pop("freeze_backbone") else None
    self._schedule = warmup_cosine(
      optimizer.pop("learning_rate"),
      optimizer.pop("final_learning_rate"),
      self.total_steps,
      self.steps_of(optimizer.pop("warmup_epochs")),
    )
    self._tx = adamw(**optimizer, trained=self._trained)
    self._mixing = MixSettings(**config["mix"])
    self._augmentation = Augmentation(**{name: data[name] for name in _AUGMENTATION})
    self.eval_view = build_eval_view(data)
    self.preprocess = functools.partial(normalize, mean=data["mean"], std=data["std"])

  def check_batch(self) -> None:
    """Raises `InputError` where the mesh cannot train on the batch."""
    batch_size, parts = self.config["data"]["batch_size"], self._accumulation_steps
    check_batch_size(batch_size, self.mesh, parts)
    check_mixing(self._mixing, batch_size // parts, self.mesh.size)

  def check_start(self) -> None:
    """Raises `InputError` where a new run cannot start as the config says."""
    if self.config["optimizer"]["layer_decay"] != 1:
      if self._source is None:
        raise InputError(
          "`optimizer.layer_decay` must come with `init.checkpoint`: expected a trained model to "
          "fine-tune, got none. Hint: --init=WORKDIR or FILE."
        )
      layer_ids(self.abstract_state().params)
    if self._source is not None:
      self._start_from(self.abstract_state().params, self._source)

  def _start_from(self, params: Any, source: Trained) -> tuple[dict[str, Any], list[str]]:
    path = self.config["init"]["class_map"]
    class_map = read_class_map(path) if path else None
    return start_from(params, source, self.train_split.class_names, class_map)

  def steps_of(self, epochs: float) -> int:
    """The nearest number of steps to so many epochs."""
    return round(epochs * self.steps_per_epoch)

  @property
  def _image_shape(self) -> tuple[int, int, int, int]:
    data = self.config["data"]
    return (data["batch_size"], data["image_size"], data["image_size"], 3)

  def create_state(self) -> tuple[TrainState, list[str]]:
    """The initial state, on the devices, and where it comes from, one line each.

    Raises:
      InputError: if `init.checkpoint` is none, or of another model.
    """
    seed, source = self.config["seed"], self._source
    state = create_state(self.model, self._tx, self._image_shape, self.mesh, seed)
    if source is None:
      return state, []
    params, notes = self._start_from(state.params, source)
    params = self.place(params)
    # A copy: one buffer cannot be donated twice.
    ema_params = jax.tree.map(jnp.copy, params)
    state = dataclasses.replace(state, params=params, ema_params=ema_params)
    return state, [f"starting from {self.config['init']['checkpoint']}", *notes]

  @functools.cached_property
  def _source(self) -> Trained | None:
    """What `init.checkpoint` names; read when a run starts, not when it resumes."""
    path = self.config["init"]["checkpoint"]
    try:
      return load(path) if path else None
    except InputError as error:
      raise InputError(f"`init.checkpoint`: {error}") from error

  def abstract_state(self) -> TrainState:
    """Shapes, types and shardings of the state."""
    return abstract_state(self.model, self._tx, self._image_shape, self.mesh)

  def place(self, params: Any) -> Any:
    """Parameters from the host, on the devices."""
    wanted = self.abstract_state().params
    return jax.device_put(params, jax.tree.map(lambda leaf: leaf.sharding, wanted))

  def step_settings(self) -> StepSettings:
    """What the config says of an update."""
    ema = self.config["ema"]
    clip_norm = self.config["optimizer"]["clip_norm"]
    return StepSettings(
      label_smoothing=self.config["loss"]["label_smoothing"],
      mixing=self._mixing,
      erasing_rate=self.config["data"]["erasing_rate"],
      accumulation_steps=self._accumulation_steps,
      micro_step_clip_norm=clip_norm if self._clip_each_micro_step else 0.0,
      ema_decay=fitted_decay(ema["decay"], ema["reference_steps"], self.total_steps),
      seed=self.config["seed"],
    )

  def peak_rate(self) -> float | None:
    """Images/s of training at which the MFU is 1; None where the devices' peak is not known.

    None as well for a frozen backbone, whose backward pass is not done.
    """
    if self.config["optimizer"]["freeze_backbone"]:
      return None
    devices = self.mesh.devices.flat
    size = self.config["data"]["image_size"]
    return peak_training_rate(self.model, size, devices[0].device_kind, len(devices))

  def compile_train_step(self):
    """(state, batch) -> (state, metrics), compiled once; takes over the state's memory."""
    train_step = make_train_step(
      self.model,
      self._tx,
      self._schedule,
      self.preprocess,
      self.step_settings(),
      num_devices=self.mesh.size,
      trained=self._trained,
    )
    state = self.abstract_state()
    state_shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    jitted = jax.jit(
      train_step, donate_argnums=0, out_shardings=(state_shardings, replicated(self.mesh))
    )
    batch = self._abstract_batch(self.config["data"]["batch_size"])
    with jax.set_mesh(self.mesh):
      compiled = jitted.lower(state, batch).compile()
    wait_for_all("compiled")
    return compiled

  def compile_eval_step(self):
    """(params, batch) -> per-example results on every device, compiled once."""
    jitted = jax.jit(
      make_eval_step(self.model, self.preprocess), out_shardings=replicated(self.mesh)
    )
    batch = self._abstract_batch(self.eval_batch_size)
    with jax.set_mesh(self.mesh):
      compiled = jitted.lower(self.abstract_state().params, batch).compile()
    wait_for_all("compiled")
    return compiled

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

  def train_batches(self, start_step: int) -> Generator[Batch, None, None]:
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
      num_processes=data["num_processes"],
    )

  @property
  def readers(self) -> str:
    """What reads the training data, for messages."""
    data = self.config["data"]
    processes = f"{data['num_processes']} processes of " if data["num_processes"] else ""
    return f"{self.train_split.name}, read by {processes}{data['num_threads']} threads"

  def predict(
    self, eval_step, weights: Sequence[Any], split: Split | None = None
  ) -> list[Predictions]:
    """Results of every example of a split, for each of several parameters.

    Args:
      eval_step: compiled.
      weights: parameters, on the devices.
      split: None for the evaluation split.
    """
    data = self.config["data"]
    batches = eval_batches(
      split or self.eval_split,
      view=self.eval_view,
      batch_size=self.eval_batch_size,
      rows=process_rows(self.eval_batch_size, batch_sharding(self.mesh)).tolist(),
      num_threads=data["num_threads"],
    )
    eval_steps = [functools.partial(eval_step, params) for params in weights]
    return predict_split(eval_steps, batches, self.eval_batch_size, self.mesh)
