"""A config and its datasets, made into the objects that training and evaluation use."""

import dataclasses
import functools
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from hornet_jax.cost.peaks import peak_training_rate
from hornet_jax.data.augment import Augmentation
from hornet_jax.data.datasets import Split, default_splits, open_split
from hornet_jax.data.pipeline import Batch, eval_batches, train_batches
from hornet_jax.errors import InputError
from hornet_jax.models.stacking import stack_blocks, unstack_blocks
from hornet_jax.train.class_map import read_class_map
from hornet_jax.train.evaluate import Predictions, predict_split
from hornet_jax.train.executables import Executables, ready
from hornet_jax.train.layer_decay import layer_ids
from hornet_jax.train.mesh import (
  batch_sharding,
  make_mesh,
  process_rows,
  replicated,
)
from hornet_jax.train.model import build_eval_view
from hornet_jax.train.program import TrainProgram
from hornet_jax.train.settings import check_ranges
from hornet_jax.train.start import start_from
from hornet_jax.train.state import TrainState, create_state
from hornet_jax.train.step import make_eval_step
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


class Experiment(TrainProgram):
  """A train program with its datasets.

  Attributes:
    train_split: opened, without TensorFlow.
    eval_split: likewise; the one that is reported.
    other_eval_splits: likewise, of `eval.also`.
    eval_view: cropping and resizing for evaluation.
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
    data = config["data"]
    mesh = make_mesh(devices, config["mesh"]["fsdp"])
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
    super().__init__(
      config,
      mesh,
      num_classes=len(self.train_split.class_names),
      num_examples=len(self.train_split.source),
    )
    # Evaluation pads its last batch anyway: any mesh will do.
    self.eval_batch_size = -(-data["eval_batch_size"] // self.mesh.size) * self.mesh.size
    self._augmentation = Augmentation(**{name: data[name] for name in _AUGMENTATION})
    self.eval_view = build_eval_view(data)

  def check_start(self) -> None:
    """Raises `InputError` where a new run cannot start as the config says."""
    if self.config["optimizer"]["layer_decay"] != 1:
      layer_ids(self.abstract_state().params)
      if self._source is None:
        raise InputError(
          "`optimizer.layer_decay` must come with `init.checkpoint`: expected a trained model to "
          "fine-tune, got none. Hint: --init=WORKDIR or FILE."
        )
    if self._source is not None:
      self._start_from(self.abstract_state().params, self._source)

  def _start_from(self, params: Any, source: Trained) -> tuple[dict[str, Any], list[str]]:
    """See `start_from`; of the initial parameters, only those of the head can stay."""
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), params)
    params = unstack_blocks(shapes) | {"head": params["head"]}
    path = self.config["init"]["class_map"]
    class_map = read_class_map(path) if path else None
    return start_from(params, source, self.train_split.class_names, class_map)

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

  def place(self, params: Any) -> Any:
    """Parameters from the host, with blocks apart, on the devices as a state has them."""
    wanted = self.abstract_state().params
    if self.model.scan:
      params = stack_blocks(params)
    return jax.device_put(params, jax.tree.map(lambda leaf: leaf.sharding, wanted))

  def peak_rate(self) -> float | None:
    """Images/s of training at which the MFU is 1; None where the devices' peak is not known.

    None as well for a frozen backbone, whose backward pass is not done.
    """
    if self.config["optimizer"]["freeze_backbone"]:
      return None
    devices = self.mesh.devices.flat
    size = self.config["data"]["image_size"]
    return peak_training_rate(self.model, size, devices[0].device_kind, len(devices))

  def compile_eval_step(self, kept: Executables | None = None) -> jax.stages.Compiled:
    """(params, batch) -> per-example results on every device, as an earlier start kept it."""
    return ready("eval_step", lambda: self._lower_eval_step().compile(), kept)

  def _lower_eval_step(self) -> jax.stages.Lowered:
    jitted = jax.jit(
      make_eval_step(self.model, self.preprocess), out_shardings=replicated(self.mesh)
    )
    batch = self.abstract_batch(self.eval_batch_size)
    with jax.set_mesh(self.mesh):
      return jitted.lower(self.abstract_state().params, batch)

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
