"""The state from which a new run starts: drawn, or with the parameters of a trained model."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from hornet_jax.checkpoints.train_state import TrainState
from hornet_jax.errors import InputError, MismatchError
from hornet_jax.models.param_info import ParamInfo, map_params
from hornet_jax.models.stacking import unstack_blocks
from hornet_jax.pretrained.class_map import read_class_map
from hornet_jax.pretrained.model_io import read_weights
from hornet_jax.pretrained.spec import Weights
from hornet_jax.pretrained.start import start_from
from hornet_jax.train.layer_decay import check_layers
from hornet_jax.train.trainer import Trainer
from hornet_jax.wording import counted


class InitialState:
  """This makes the state of step 0, with the parameters that `init.checkpoint` names, if any."""

  def __init__(self, trainer: Trainer, class_names: Sequence[str]):
    """Reads nothing yet.

    Args:
      trainer: what trains the state.
      class_names: names of the training split's classes, for the rows of the head.
    """
    self._trainer, self._class_names = trainer, list(class_names)
    self._path = trainer.config["init"]["checkpoint"]

  def check(self) -> None:
    """Raises `InputError` where a run cannot start as the config says; makes no state."""
    params = self._trainer.abstract_state().params
    optimizer = self._trainer.config["optimizer"]
    if optimizer["layer_decay"] != 1:
      check_layers(self._trainer.model.param_info, params, optimizer["layer_decay_by"])
      if self._source is None:
        raise InputError(
          "`optimizer.layer_decay` must come with `init.checkpoint`: expected a trained model to "
          "fine-tune, got none. Hint: --init=WORKDIR or FILE."
        )
    if self._source is not None:
      self._initialize(self._trainer.abstract_state(), self._source)

  def create(self) -> tuple[TrainState, list[str]]:
    """Makes the state, on the devices, and says where it comes from, one line each.

    Raises:
      InputError: if `init.checkpoint` is none, or of another model.
    """
    state, source = self._trainer.create_state(), self._source
    if source is None:
      return state, []
    variables, notes = self._initialize(state, source)
    model_state = self._trainer.place(variables)
    params = model_state.pop("params")
    # A copy: one buffer cannot be donated twice.
    ema_params = jax.tree.map(jnp.copy, params)
    state = dataclasses.replace(
      state, params=params, ema_params=ema_params, model_state=model_state
    )
    return state, [f"starting from {self._path}", *notes]

  @functools.cached_property
  def _source(self) -> Weights | None:
    """What `init.checkpoint` names."""
    try:
      return read_weights(self._path) if self._path else None
    except InputError as error:
      raise InputError(f"`init.checkpoint`: {error}") from error

  def _initialize(self, state: TrainState, source: Weights) -> tuple[dict[str, Any], list[str]]:
    """See `start_from`; of the initial parameters, only those that the task adds can stay."""
    model, config = self._trainer.model, self._trainer.config

    def of_task(info: ParamInfo, leaf: Any) -> Any:
      return leaf if info.of_task else jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)

    params = map_params(of_task, model.param_info, state.params)
    variables = unstack_blocks({"params": params, **state.model_state})
    path = config["init"]["class_map"]
    class_map = read_class_map(path) if path else None
    try:
      return start_from(model, variables, config["task"], source, self._class_names, class_map)
    except MismatchError as error:
      its, own = source.spec.model["variant"], config["model"]["variant"]
      if its == own:
        raise
      raise InputError(
        f"`init.checkpoint` must hold the parameters of {own}: those of {its} differ in "
        f"{counted(len(error.problems), 'array')}. Hint: --config.model.variant={its}."
      ) from error
