"""The state of one checkpoint, read by Orbax in the form that is wanted."""

from typing import Any

import jax
import numpy as np
from etils import epath
from orbax.checkpoint import v1 as ocp

from hornet_jax.checkpoints.train_state import TrainState
from hornet_jax.models.stacking import is_stacked, stack_blocks, unstack_blocks

_MODEL_STATE = "model_state"  # checkpoints of earlier versions have none
_LONGEST_REASON = 200  # characters; Orbax writes pages


class OtherStepError(ValueError):
  """The state in a folder is that of another step than the folder's name says."""


def load_state(path: epath.Path, abstract: TrainState) -> TrainState:
  """Loads the whole state, its blocks apart or stacked as wanted, however they were saved.

  Args:
    path: folder of the checkpoint, named by its step.
    abstract: shapes, types and shardings of what is wanted.

  Raises:
    OtherStepError: if the state is of another step.
  """

  saved_form = _metadata(path)

  def load(form: TrainState) -> TrainState:
    if _MODEL_STATE in saved_form:
      return ocp.load_checkpointables(path, {"state": form})["state"]
    if form.model_state:
      raise ValueError("it has no model state: an earlier version, which knew none, saved it")
    earlier = {name: value for name, value in vars(form).items() if name != _MODEL_STATE}
    return TrainState(**ocp.load_checkpointables(path, {"state": earlier})["state"])

  wants_stacked = _stacked(abstract)
  if _stacked(saved_form) == wants_stacked:
    state = load(abstract)
  else:
    as_wanted, as_saved = stack_blocks, unstack_blocks
    if not wants_stacked:
      as_wanted, as_saved = as_saved, as_wanted
    saved = load(as_saved(abstract))
    shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    state = jax.jit(as_wanted, out_shardings=shardings)(saved)
  _check_step(path, state.step)
  return state


def load_weights(path: epath.Path) -> dict[str, Any]:
  """Loads `params`, `ema_params` and `model_state` alone, as they were saved, as numpy arrays.

  Raises:
    OtherStepError: if the state is of another step than the folder's name says.
  """
  saved = _metadata(path)
  wanted = jax.tree.map(lambda leaf: ocp.PLACEHOLDER, saved)
  for key in ("step", "params", "ema_params", _MODEL_STATE):
    if key in saved:
      wanted[key] = jax.tree.map(_on_host, saved[key])
  state = {_MODEL_STATE: {}, **ocp.load_checkpointables(path, {"state": wanted})["state"]}
  _check_step(path, state["step"])
  return state


def check_restorable(path: epath.Path) -> None:
  """Restores a whole checkpoint into memory of this host, and gives that back.

  It touches no accelerator and waits for no other process, so that training can go on meanwhile.

  Args:
    path: folder of the checkpoint, named by its step.

  Raises:
    OtherStepError: if the state is of another step.
    Exception: whatever Orbax raises where it cannot restore what it has saved.
  """
  wanted = jax.tree.map(_on_host, _metadata(path))
  state = ocp.load_checkpointables(path, {"state": wanted})["state"]
  _check_step(path, state["step"])


def _on_host(leaf: Any) -> np.ndarray:
  """What tells Orbax that an array is wanted in memory; it is never filled."""
  return np.empty(leaf.shape, leaf.dtype)


def _check_step(path: epath.Path, step: Any) -> None:
  if str(int(step)) != path.name:
    raise OtherStepError(f"its state is that of step {int(step)}")


def _stacked(tree: Any) -> bool:
  return any(is_stacked(path) for path, _ in jax.tree.leaves_with_path(tree))


def _metadata(path: epath.Path) -> Any:
  """Shapes and types of what a checkpoint holds."""
  saved = ocp.checkpointables_metadata(path).metadata["state"]
  if saved is None:
    raise ValueError("its metadata are garbage")
  return saved


def reason_of(error: BaseException) -> str:
  """What an error of Orbax goes back to, in one line."""
  chain = [error]
  while cause := chain[-1].__cause__ or chain[-1].__context__:
    chain.append(cause)
  # A KeyError says no more than a key.
  told = [link for link in chain if not isinstance(link, KeyError) and str(link)]
  line = " ".join(str(told[-1]).split()) if told else repr(chain[-1])
  return line.rstrip(".:") if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]} ..."
