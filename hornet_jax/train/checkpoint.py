"""Checkpoints of a run: saved in the background, restored on any mesh."""

from typing import Any

import jax
from etils import epath
from orbax.checkpoint import v1 as ocp

from hornet_jax.errors import InputError
from hornet_jax.train.state import TrainState


class Checkpoints:
  """The checkpoints below one directory, one folder a step.

  Use as a context manager: leaving it waits for the save under way.
  """

  def __init__(self, directory: epath.Path, keep: int):
    """Opens the directory and clears what an interrupted save left there.

    Args:
      directory: local or `gs://`; made where it is missing.
      keep: number of newest checkpoints to keep.
    """
    self._checkpointer = ocp.training.Checkpointer(
      directory.resolve(),  # Orbax refuses relative paths, but only once it writes
      preservation_policy=ocp.training.preservation_policies.LatestN(keep),
      cleanup_tmp_directories=True,
    )
    self._pending: Any = None

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, *exc_info) -> None:
    self.wait()
    self._checkpointer.close()

  @property
  def latest_step(self) -> int | None:
    """Step of the newest complete checkpoint, or None."""
    latest = self._checkpointer.latest
    return None if latest is None else latest.step

  def save(self, step: int, state: TrainState) -> None:
    """Starts to write `state`; returns once it has been copied from the devices.

    Raises:
      Exception: what the previous save failed with, such as a full disk.
    """
    self.wait()
    self._pending = self._checkpointer.save_checkpointables_async(
      step, {"state": state}, force=True
    )

  def wait(self) -> None:
    """Returns once the save under way is complete; raises what it failed with."""
    pending, self._pending = self._pending, None
    if pending is not None:
      pending.result()

  def restore(self, abstract: TrainState) -> TrainState:
    """The newest checkpoint, laid out as `abstract` says.

    Args:
      abstract: shapes, types and shardings; the mesh may differ from the saved one's.
    """
    return self._checkpointer.load_checkpointables(None, {"state": abstract})["state"]


def load_params(directory: epath.Path) -> tuple[int, dict[str, Any], dict[str, Any]]:
  """(step, params, ema_params) of the newest checkpoint, as numpy arrays.

  Raises:
    InputError: if the directory holds no checkpoint.
  """
  missing = InputError(
    f"`workdir` must hold a checkpoint: expected one in {directory}, found none. "
    "Hint: train first, or name the right --workdir."
  )
  if not directory.exists():
    raise missing
  with ocp.training.Checkpointer(directory.resolve()) as checkpointer:
    latest = checkpointer.latest
    if latest is None:
      raise missing
    saved = checkpointer.checkpointables_metadata(latest).metadata["state"]
    wanted = jax.tree.map(lambda leaf: ocp.PLACEHOLDER, saved)
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    for key in ("params", "ema_params"):
      wanted[key] = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), saved[key]
      )
    state = checkpointer.load_checkpointables(latest, {"state": wanted})["state"]
  return latest.step, jax.device_get(state["params"]), jax.device_get(state["ema_params"])
