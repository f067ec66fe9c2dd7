"""The state from which a new run starts: drawn, or with the parameters of a trained model."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from hornet_jax.checkpoints.train_state import TrainState
from hornet_jax.errors import InputError
from hornet_jax.models.param_info import ParamInfo, map_params
from hornet_jax.models.stacking import unstack_blocks
from hornet_jax.pretrained.class_map import read_class_map
from hornet_jax.pretrained.initialize import initialize_from
from hornet_jax.pretrained.model_io import PretrainedModel, load
from hornet_jax.train.layer_decay import check_layers
from hornet_jax.train.trainer import Trainer


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
      self._initialize(params, self._source)

  def create(self) -> tuple[TrainState, list[str]]:
    """Makes the state, on the devices, and says where it comes from, one line each.

    Raises:
      InputError: if `init.checkpoint` is none, or of another model.
    """
    state, source = self._trainer.create_state(), self._source
    if source is None:
      return state, []
    params, notes = self._initialize(state.params, source)
    params = self._trainer.place({"params": params})["params"]
    # A copy: one buffer cannot be donated twice.
    ema_params = jax.tree.map(jnp.copy, params)
    state = dataclasses.replace(state, params=params, ema_params=ema_params)
    return state, [f"starting from {self._path}", *notes]

  @functools.cached_property
  def _source(self) -> PretrainedModel | None:
    """What `init.checkpoint` names."""
    try:
      return load(self._path) if self._path else None
    except InputError as error:
      raise InputError(f"`init.checkpoint`: {error}") from error

  def _initialize(self, params: Any, source: PretrainedModel) -> tuple[dict[str, Any], list[str]]:
    """See `initialize_from`; of the initial parameters, only those of the head can stay."""
    model = self._trainer.model

    def of_head(info: ParamInfo, leaf: Any) -> Any:
      return leaf if info.head else jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)

    params = unstack_blocks(map_params(of_head, model.param_info, params))
    path = self._trainer.config["init"]["class_map"]
    class_map = read_class_map(path) if path else None
    return initialize_from(model, params, source, self._class_names, class_map)
