"""A trainer makes the steps that a config describes and the state they change, without data."""

import contextlib
import functools
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import optax
from jax.sharding import Mesh

from hornet_jax.checkpoints.train_state import TrainState
from hornet_jax.config.build import on_mesh
from hornet_jax.config.length import branch_steps, cool_down_start, count_steps
from hornet_jax.cost.hardware import PEAK_FLOPS, peak_training_rate
from hornet_jax.cost.model_work import forward_work
from hornet_jax.data.schema import Schema
from hornet_jax.errors import InputError
from hornet_jax.models.stacking import stack_blocks
from hornet_jax.parallel.mesh import (
  FSDP,
  check_batch_size,
  replicated,
  wait_for_all,
)
from hornet_jax.tasks.build import build_task
from hornet_jax.train.by_shape import AbstractBatch, ByShape, abstract_batch, compile_by_shape
from hornet_jax.train.ema import fitted_decay
from hornet_jax.train.head_context import head_context
from hornet_jax.train.optimizer import adamw, head_only
from hornet_jax.train.parametrization import make_width_scaling
from hornet_jax.train.schedule import make_schedule
from hornet_jax.train.state import abstract_state, create_state
from hornet_jax.train.step import StepSettings, TrainStep, make_eval_step, make_train_step

_logger = logging.getLogger(__name__)
_OF_SCHEDULE = (
  *("schedule", "learning_rate", "final_learning_rate"),
  *("decay_fraction", "decay_shape", "poly_power"),
)
_OF_WIDTH = ("parametrization", "base_width", "width_exponent")


class Trainer:
  """A trainer compiles what a config asks the devices of a mesh to do, step by step.

  The devices may be described only, as those of a TPU that is not there.

  Attributes:
    config: nested, with the keys of `config.schema`.
    mesh: the devices.
    task: what is learned.
    model: built for the task.
    steps_per_epoch: floor(N / B), as in the official code.
    total_steps: epochs * floor(N / B).
    branch_steps: steps at which runs may branch off, of `checkpoint.branch_epochs`.
    max_skipped_steps: `optimizer.max_skipped_steps`.
    max_rollbacks: `optimizer.max_rollbacks`.
  """

  def __init__(self, config: Mapping[str, Any], mesh: Mesh, *, num_classes: int, num_examples: int):
    """Checks the settings against each other.

    Args:
      config: nested, with the keys of `config.schema`, each in its range.
      mesh: the devices.
      num_classes: number of classes of the dataset.
      num_examples: N, number of images that are trained on.

    Raises:
      InputError: if a setting is bad.
    """
    self.config, self.mesh, self._num_examples = config, mesh, num_examples
    data = config["data"]
    self.task, model = build_task(config, num_classes)
    self.model = model if mesh.size == 1 else on_mesh(model, mesh)
    self.steps_per_epoch = num_examples // data["batch_size"]
    self.total_steps = count_steps(config["epochs"], self.steps_per_epoch)
    if self.total_steps < 1:
      if self.steps_per_epoch:
        hint = f"--config.epochs={math.ceil(1e2 / self.steps_per_epoch) / 1e2:g} or more"
      else:
        hint = f"--config.data.batch_size={2 ** int(math.log2(max(num_examples, 1)))} or less"
      raise InputError(
        f"`epochs` times {self.steps_per_epoch} steps an epoch must give a step: expected "
        f"more, got epochs {config['epochs']} with batch_size {data['batch_size']} and "
        f"{num_examples} examples. Hint: {hint}."
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
    head = functools.partial(head_only, model.param_info)
    self._trainable = head if optimizer.pop("freeze_backbone") else None
    warmup_steps = self.steps_of(optimizer.pop("warmup_epochs"))
    of_schedule = {name: optimizer.pop(name) for name in _OF_SCHEDULE}
    falls = [self.steps_of(epochs) for epochs in optimizer.pop("step_epochs")]
    self._schedule = make_schedule(self.total_steps, warmup_steps, **of_schedule, falls=falls)
    self.branch_steps = branch_steps(config, num_examples)
    self._check_branch_steps(warmup_steps)
    self._scaling = make_width_scaling(config, model, self._image_shape, num_classes)
    of_adamw = {name: value for name, value in optimizer.items() if name not in _OF_WIDTH}
    self._tx = adamw(model.param_info, **of_adamw, trainable=self._trainable, scaling=self._scaling)

  def cool_down_start(self, epochs: float | None = None) -> int:
    """Gives the number of steps after which a run with a constant learning rate cools down.

    Args:
      epochs: its length; None for that of this one.
    """
    length = self.config["epochs"] if epochs is None else epochs
    total_steps = count_steps(length, self.steps_per_epoch)
    return cool_down_start(total_steps, self.config["optimizer"]["decay_fraction"])

  def _check_branch_steps(self, warmup_steps: int) -> None:
    outside = [
      f"{epochs:g} epochs, step {step}"
      for epochs, step in zip(
        self.config["checkpoint"]["branch_epochs"], self.branch_steps, strict=True
      )
      if not max(warmup_steps, 1) <= step <= self.cool_down_start()
    ]
    if outside:
      raise InputError(
        "`checkpoint.branch_epochs` must be lengths of runs that cool down while the learning rate "
        f"of this one is constant: expected after step {warmup_steps} and until step "
        f"{self.cool_down_start()}, got {'; '.join(outside)}."
      )

  def check_batch(self) -> None:
    """Raises `InputError` where the mesh cannot train on the batch."""
    batch_size, parts = self.config["data"]["batch_size"], self._accumulation_steps
    check_batch_size(batch_size, self.mesh, parts)
    self.task.check_batch(batch_size // parts, self.mesh.size)

  def images_by(self, step: int) -> dict[str, int]:
    """Counts the images of the first steps.

    Args:
      step: number of steps.

    Returns:
      `images_seen`, each as often as it was shown, and `unique_images`, how many different ones
      these are: at most N. The latter is an upper bound where passes leave images out
      (`data.class_balance`, rollbacks).
    """
    seen = step * self.config["data"]["batch_size"]
    return {"images_seen": seen, "unique_images": min(seen, self._num_examples)}

  def steps_of(self, epochs: float) -> int:
    """Rounds so many epochs to steps."""
    return round(epochs * self.steps_per_epoch)

  @property
  def _image_shape(self) -> tuple[int, ...]:
    return (self.config["data"]["batch_size"], *self.task.schema["image"].shape)

  def abstract_state(self) -> TrainState:
    """Describes the state: shapes, types and shardings. The model is traced for it once."""
    return self._abstract_state

  @functools.cached_property
  def _abstract_state(self) -> TrainState:
    return abstract_state(self.model, self._tx, self._image_shape, self.mesh, self._scaling)

  def create_state(self, seed: int | None = None) -> TrainState:
    """Makes the state at step 0 on the devices.

    Args:
      seed: seed by which its parameters are drawn; None for the config's.
    """
    seed = self.config["seed"] if seed is None else seed
    return create_state(self.model, self._tx, self._image_shape, self.mesh, seed, self._scaling)

  def place(self, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Puts variables from the host, with blocks apart, on the devices as a state has them."""
    abstract = self.abstract_state().variables()
    wanted = {name: abstract[name] for name in variables}
    if self.model.execution.scan:
      variables = stack_blocks(variables)
    return jax.device_put(variables, jax.tree.map(lambda leaf: leaf.sharding, wanted))

  def peak_rate(self) -> float | None:
    """Computes the images/s of training at which the MFU is 1.

    Returns:
      None where the devices' peak is not known, and for a frozen backbone, whose backward pass
      is not done.
    """
    devices = self.mesh.devices.flat
    kind = devices[0].device_kind
    if self.config["optimizer"]["freeze_backbone"] or kind not in PEAK_FLOPS:
      return None
    height, width, channels = self.task.schema["image"].shape
    macs = forward_work(self.model, (height, width), channels, head_context(self.task)).macs
    return peak_training_rate(macs, kind, len(devices))

  def step_settings(self) -> StepSettings:
    """Reads what the config says of an update."""
    ema, clip_norm = self.config["ema"], self.config["optimizer"]["clip_norm"]
    return StepSettings(
      accumulation_steps=self._accumulation_steps,
      micro_step_clip_norm=clip_norm if self._clip_each_micro_step else 0.0,
      ema_decay=fitted_decay(ema["decay"], ema["reference_steps"], self.total_steps),
      seed=self.config["seed"],
    )

  def train_step(self, schedule: optax.Schedule) -> TrainStep:
    """Makes the step (state, batch) -> (state, metrics), to be jitted.

    Args:
      schedule: learning rate of each step, in place of the config's.
    """
    return make_train_step(
      self.model,
      self.task,
      self._tx,
      schedule,
      self.step_settings(),
      num_devices=self.mesh.size,
      trainable=self._trainable,
    )

  def lower_train_step(self) -> jax.stages.Lowered:
    """Lowers (state, batch) -> (state, metrics) for the devices and the largest kind of batches."""
    # Made before the mesh is set: a device that is only described cannot even draw a key.
    step, state = self._jitted_step(), self.abstract_state()
    with jax.set_mesh(self.mesh):
      return step.lower(state, self.abstract_batch())

  def _jitted_step(self) -> Any:
    """Makes the step, which reuses the memory of the state that it is given."""
    state_shardings = jax.tree.map(lambda leaf: leaf.sharding, self.abstract_state())
    return jax.jit(
      self.train_step(self._schedule),
      donate_argnums=0,
      out_shardings=(state_shardings, replicated(self.mesh)),
    )

  def compile_train_step(self) -> ByShape:
    """Compiles (state, batch) -> (state, metrics) for every shape of batches, on every process."""
    batches = [self.abstract_batch(schema) for schema in self.task.schemas]
    options = compiler_options(self.mesh)
    with _told("train_step", batches):
      with jax.set_mesh(self.mesh):
        compiled = compile_by_shape(self._jitted_step(), self.abstract_state(), batches, options)
      wait_for_all("compiled")
    return compiled

  def compile_eval_step(self, batch_size: int, schemas: Sequence[Schema]) -> ByShape:
    """Compiles (variables, batch) -> results of each example on every device.

    Args:
      batch_size: rows of the global batch, a multiple of the devices.
      schemas: `eval_schemas` of a task that was fitted to what is evaluated.
    """
    jitted = jax.jit(make_eval_step(self.model, self.task), out_shardings=replicated(self.mesh))
    batches = [abstract_batch(schema, batch_size, self.mesh) for schema in schemas]
    with _told("eval_step", batches):
      with jax.set_mesh(self.mesh):
        compiled = compile_by_shape(jitted, self.abstract_state().variables(), batches)
      wait_for_all("compiled")
    return compiled

  def abstract_batch(self, schema: Schema | None = None) -> dict[str, jax.ShapeDtypeStruct]:
    """Describes a batch of training: shapes, types and shardings.

    Args:
      schema: fields of an example; None for those of the largest kind.
    """
    schema = self.task.schema if schema is None else schema
    return abstract_batch(schema, self.config["data"]["batch_size"], self.mesh)


@contextlib.contextmanager
def _told(name: str, batches: Sequence[AbstractBatch]) -> Iterator[None]:
  """Says before the silence what is being compiled, and afterwards how long that took."""
  shapes = f" for {len(batches)} shapes" if len(batches) > 1 else ""
  _logger.info("compiling %s%s ...", name, shapes)
  begin = time.perf_counter()
  yield
  _logger.info("compiled %s in %.0f s", name, time.perf_counter() - begin)


def compiler_options(mesh: Mesh) -> dict[str, str | bool]:
  """Lists what the compiler has to be told for the devices of a mesh."""
  if mesh.devices.flat[0].platform == "tpu" and mesh.shape[FSDP] > 1:
    # Otherwise a gather and the product that needs it become a loop of permutes, which sends
    # more and keeps the sums of gradients from being scattered.
    return {"xla_jf_spmd_threshold_for_windowed_einsum_mib": "1000000"}
  return {}
