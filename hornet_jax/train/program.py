"""The train step that a config describes, and the state that it changes; no data needed."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from hornet_jax.data.mix import MixSettings, check_mixing
from hornet_jax.data.normalize import normalize
from hornet_jax.errors import InputError
from hornet_jax.train.ema import fitted_decay
from hornet_jax.train.executables import Executables, ready
from hornet_jax.train.mesh import (
  FSDP,
  batch_sharding,
  check_batch_size,
  replicated,
)
from hornet_jax.train.model import build_model, on_mesh
from hornet_jax.train.optimizer import adamw, head_only, warmup_cosine
from hornet_jax.train.state import TrainState, abstract_state
from hornet_jax.train.step import StepSettings, make_train_step


class TrainProgram:
  """What a config asks the devices of a mesh to do, step by step.

  The devices may be described only, as those of a TPU that is not there.

  Attributes:
    config: nested, with the keys of configs/common.py.
    mesh: the devices.
    model: built for the classes.
    steps_per_epoch: floor(N / B), as in the official code.
    total_steps: epochs * floor(N / B).
    preprocess: uint8 images to the model's input.
    max_skipped_steps: `optimizer.max_skipped_steps`.
    max_rollbacks: `optimizer.max_rollbacks`.
  """

  def __init__(self, config: Mapping[str, Any], mesh: Mesh, *, num_classes: int, num_examples: int):
    """Checks the settings against each other.

    Args:
      config: nested, with the keys of configs/common.py, each in its range.
      mesh: the devices.
      num_classes: of the dataset.
      num_examples: N, of the training split.

    Raises:
      InputError: if a setting is bad.
    """
    self.config, self.mesh = config, mesh
    data = config["data"]
    model = build_model(config["model"], data["image_size"], num_classes)
    self.model = model if mesh.size == 1 else on_mesh(model, mesh)
    self.steps_per_epoch = num_examples // data["batch_size"]
    # Rounding, so that 2.3 epochs of 100 steps are 230, not 229.
    self.total_steps = math.floor(round(config["epochs"] * self.steps_per_epoch, 6))
    if self.total_steps < 1:
      raise InputError(
        f"`epochs` times {self.steps_per_epoch} steps an epoch must give a step: expected "
        f"more, got epochs {config['epochs']} with batch_size {data['batch_size']} and "
        f"{num_examples} examples."
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
    self.preprocess = functools.partial(normalize, mean=data["mean"], std=data["std"])

  def check_batch(self) -> None:
    """Raises `InputError` where the mesh cannot train on the batch."""
    batch_size, parts = self.config["data"]["batch_size"], self._accumulation_steps
    check_batch_size(batch_size, self.mesh, parts)
    check_mixing(self._mixing, batch_size // parts, self.mesh.size)

  def steps_of(self, epochs: float) -> int:
    """The nearest number of steps to so many epochs."""
    return round(epochs * self.steps_per_epoch)

  @property
  def _image_shape(self) -> tuple[int, int, int, int]:
    data = self.config["data"]
    return (data["batch_size"], data["image_size"], data["image_size"], 3)

  def abstract_state(self) -> TrainState:
    """Shapes, types and shardings of the state."""
    return abstract_state(self.model, self._tx, self._image_shape, self.mesh)

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

  def lower_train_step(self) -> jax.stages.Lowered:
    """(state, batch) -> (state, metrics), for the devices; takes over the state's memory."""
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
    batch = self.abstract_batch(self.config["data"]["batch_size"])
    with jax.set_mesh(self.mesh):
      return jitted.lower(state, batch)

  def compile_train_step(self, kept: Executables | None = None) -> jax.stages.Compiled:
    """`lower_train_step`, compiled, or as an earlier start kept it."""
    return ready(
      "train_step", lambda: self.lower_train_step().compile(compiler_options(self.mesh)), kept
    )

  def abstract_batch(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes, types and shardings of a batch."""
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


def compiler_options(mesh: Mesh) -> dict[str, str | bool]:
  """What the compiler has to be told for the devices of a mesh."""
  if mesh.devices.flat[0].platform == "tpu" and mesh.shape[FSDP] > 1:
    # Otherwise a gather and the product that needs it become a loop of permutes, which sends
    # more and keeps the sums of gradients from being scattered.
    return {"xla_jf_spmd_threshold_for_windowed_einsum_mib": "1000000"}
  return {}
